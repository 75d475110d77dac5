// Records from the microphone, without the automatic gain that would hide how loud the place is.

const LIMIT_SECONDS = 60;
const SUFFIX = { "audio/webm": "webm", "audio/ogg": "ogg", "audio/mp4": "m4a" };

export const canRecord = () => Boolean(navigator.mediaDevices?.getUserMedia && window.MediaRecorder);

export class Recorder {
  /** Asks for the microphone and begins. Throws if it is refused. onTick(seconds) is called while it records. */
  static async start(onTick) {
    const stream = await navigator.mediaDevices.getUserMedia({
      audio: { autoGainControl: false, noiseSuppression: false, echoCancellation: false },
    });
    return new Recorder(stream, onTick);
  }

  constructor(stream, onTick) {
    const chunks = [];
    const began = performance.now();
    this.recorder = new MediaRecorder(stream);
    this.recorder.addEventListener("dataavailable", (event) => chunks.push(event.data));
    this.file = new Promise((resolve) => {
      this.recorder.addEventListener("stop", () => {
        clearInterval(this.timer);
        stream.getTracks().forEach((track) => track.stop());
        const type = this.recorder.mimeType.split(";")[0];
        const name = `recording-${new Date().toTimeString().slice(0, 8).replaceAll(":", "")}.${SUFFIX[type] ?? "webm"}`;
        resolve(new File(chunks, name, { type }));
      });
    });
    this.timer = setInterval(() => {
      const seconds = (performance.now() - began) / 1000;
      onTick(seconds);
      if (seconds >= LIMIT_SECONDS) this.stop();
    }, 200);
    this.recorder.start();
  }

  /** Ends the recording; `file` resolves with it. */
  stop() {
    if (this.recorder.state !== "inactive") this.recorder.stop();
  }
}
