// The settings that were, to go back to and forth again.

const MOST = 100;

export class Undo {
  /** onChange() is called when what can be undone or redone may have changed. */
  constructor(onChange) {
    this.onChange = onChange;
    this.begin(null);
  }

  begin(snapshot) {
    this.past = [];
    this.future = [];
    this.now = JSON.stringify(snapshot);
    this.onChange(this);
  }

  /** Notes the settings as they are now, if they have changed. */
  note(snapshot) {
    const text = JSON.stringify(snapshot);
    if (text === this.now) return;
    this.past = [...this.past, this.now].slice(-MOST);
    this.future = [];
    this.now = text;
    this.onChange(this);
  }

  /** Takes the settings as they are now for those that were, since they belong to other sounds. */
  amend(snapshot) {
    this.now = JSON.stringify(snapshot);
  }

  /** Returns the snapshot before this one, or undefined. */
  undo() {
    return this.#step(this.past, this.future);
  }

  redo() {
    return this.#step(this.future, this.past);
  }

  #step(from, to) {
    if (from.length === 0) return undefined;
    to.push(this.now);
    this.now = from.pop();
    this.onChange(this);
    return JSON.parse(this.now);
  }
}

/** Calls back on Ctrl/Cmd+Z and its relatives, but not while text is written. */
export function listenToKeys(onUndo, onRedo) {
  window.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.altKey || event.target.closest?.("input:not([type=range]), textarea")) return;
    const key = event.key.toLowerCase();
    if (key === "z" && !event.shiftKey) onUndo();
    else if (key === "y" || key === "z") onRedo();
    else return;
    event.preventDefault();
  });
}
