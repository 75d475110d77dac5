// Zoom and pan: one picture size, shown at the same place and scale in every layer of a frame.

const MOST = 16; // screen pixels for one of the picture's
const SMALL = 2.5; // beyond which fitting enlarges no picture
const STEP = 1.5;
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

export class View extends EventTarget {
  /** Events: `change`. frame: the element with the layers; its first layer is measured. */
  constructor(frame) {
    super();
    this.frame = frame;
    this.pane = frame.querySelector(".layer");
    this.picture = { width: 1, height: 1 };
    this.fitted = true;
    this.scale = 1;
    this.center = { x: 0.5, y: 0.5 }; // shares of the picture, in the middle of the frame
    this.touches = new Map();
    new ResizeObserver(() => this.#show()).observe(this.pane);
    frame.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    frame.addEventListener("dblclick", (event) => {
      if (event.target.closest(".divider")) return;
      if (this.fitted) this.zoomTo(Math.max(1 / devicePixelRatio, this.#fitScale() * 2), event);
      else this.fit();
    });
    frame.addEventListener("keydown", (event) => this.#key(event));
  }

  get zoomed() {
    return !this.fitted && this.scale > this.#fitScale() * 1.001;
  }

  open(width, height) {
    this.picture = { width, height };
    this.frame.style.setProperty("--width", `${width}px`);
    this.frame.style.setProperty("--height", `${height}px`);
    this.fit();
  }

  fit() {
    this.fitted = true;
    this.center = { x: 0.5, y: 0.5 };
    this.#show();
  }

  /** One pixel of the picture on one of the screen. */
  actual() {
    this.zoomTo(1 / devicePixelRatio);
  }

  zoomBy(direction, point) {
    this.zoomTo(this.scale * STEP ** direction, point);
  }

  /** point: {clientX, clientY} that stays where it is; default: the middle. */
  zoomTo(scale, point = null) {
    const next = clamp(scale, Math.min(this.#fitScale(), 1 / devicePixelRatio), MOST);
    const { x, y } = this.#fromMiddle(point);
    const { width, height } = this.picture;
    this.center.x += x / width / this.scale - x / width / next;
    this.center.y += y / height / this.scale - y / height / next;
    this.scale = next;
    this.fitted = Math.abs(next - this.#fitScale()) < 1e-4;
    this.#show();
  }

  panBy(x, y) {
    this.center.x -= x / this.picture.width / this.scale;
    this.center.y -= y / this.picture.height / this.scale;
    this.#show();
  }

  /** Follows two fingers; returns whether there are two. */
  pinch(event, down) {
    if (down) this.touches.set(event.pointerId, event);
    if (this.touches.size !== 2 || !this.touches.has(event.pointerId)) return this.touches.size > 1;
    const before = [...this.touches.values()];
    this.touches.set(event.pointerId, event);
    const after = [...this.touches.values()];
    const middle = ([one, other]) => ({ clientX: (one.clientX + other.clientX) / 2, clientY: (one.clientY + other.clientY) / 2 });
    const apart = ([one, other]) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) || 1;
    this.panBy(middle(after).clientX - middle(before).clientX, middle(after).clientY - middle(before).clientY);
    this.zoomTo((this.scale * apart(after)) / apart(before), middle(after));
    return true;
  }

  release(event) {
    this.touches.delete(event.pointerId);
  }

  #fitScale() {
    const { width, height } = this.picture;
    return Math.min(this.pane.clientWidth / width, this.pane.clientHeight / height, SMALL) || 1;
  }

  #fromMiddle(point) {
    if (!point) return { x: 0, y: 0 };
    const panes = [...this.frame.querySelectorAll(".layer")].map((layer) => layer.getBoundingClientRect());
    const inside = ({ left, right, top, bottom }) => point.clientX >= left && point.clientX < right && point.clientY >= top && point.clientY < bottom;
    const { left, top, width, height } = panes.find(inside) ?? panes[0];
    return { x: point.clientX - left - width / 2, y: point.clientY - top - height / 2 };
  }

  #show() {
    const { clientWidth, clientHeight } = this.pane;
    if (!clientWidth) return;
    if (this.fitted) this.scale = this.#fitScale();
    const place = (share, shown, whole) => {
      const half = shown / (2 * whole * this.scale);
      return half >= 0.5 ? 0.5 : clamp(share, half, 1 - half);
    };
    this.center.x = place(this.center.x, clientWidth, this.picture.width);
    this.center.y = place(this.center.y, clientHeight, this.picture.height);
    const x = clientWidth / 2 - this.center.x * this.picture.width * this.scale;
    const y = clientHeight / 2 - this.center.y * this.picture.height * this.scale;
    this.frame.style.setProperty("--place", `translate(${x}px, ${y}px) scale(${this.scale})`);
    this.frame.classList.toggle("zoomed", this.zoomed);
    this.frame.classList.toggle("large", this.scale * devicePixelRatio >= 4);
    this.frame.tabIndex = this.zoomed ? 0 : -1;
    this.dispatchEvent(new Event("change"));
  }

  /** The wheel zooms; but a page that is scrolled goes on scrolling, and at its top a whole picture lets it scroll down. */
  #wheel(event) {
    if (!event.ctrlKey && this.fitted && (event.deltaY > 0 || scrollY > 0)) return;
    event.preventDefault();
    const unit = event.deltaMode === 1 ? 16 : 1;
    const next = this.scale * Math.exp((-event.deltaY * unit * (event.ctrlKey ? 4 : 1)) / 600);
    if (event.deltaY > 0 && next <= this.#fitScale()) this.fit();
    else this.zoomTo(next, event);
  }

  #key(event) {
    const moves = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
    if (event.key === "+" || event.key === "=") this.zoomBy(1);
    else if (event.key === "-") this.zoomBy(-1);
    else if (event.key === "0") this.fit();
    else if (event.key === "1") this.actual();
    else if (event.key in moves && event.target === this.frame) this.panBy(...moves[event.key]);
    else return;
    event.preventDefault();
  }
}
