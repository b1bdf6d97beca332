/** The first tab: a camera, a photo or a video, and what its faces express. */
import { Bars, Faces } from "./bars";
import type { Engine } from "./engine";
import { drawFrames, drawOver, type Framed } from "./frames";
import { offerSamples } from "./gallery";
import type { Manifest, RecognizerEntry } from "./manifest";
import { chosenPrior, offerModels, offerPriors } from "./models";
import { MovementTable } from "./movement";
import {
  announce,
  button,
  canvas,
  complain,
  decoded,
  download,
  downloadPicture,
  drawingOf,
  element,
  explain,
  largest,
  PageError,
  percent,
  sample,
} from "./page";
import type { Frame, ReadFace, Reading } from "./protocol";
import { Records, Smoother } from "./records";
import { Timeline } from "./timeline";

/** Longer side that larger frames of a video are shrunk to, in pixels. */
const LONGEST_FRAME = 960;
/** Seconds between two announcements of what a video shows. */
const QUIET = 3;
/** Milliseconds between two drawings of what changes too fast to be read: the course, and the table of action units. */
const UNHURRIED = 150;
/** Pixels of the screen around a face that still count as pressing it. */
const MARGIN = 12;

type Source = "none" | "photo" | "camera" | "video";

export class Reader {
  private readonly video = element("video", HTMLVideoElement);
  private readonly still = canvas("still");
  private readonly frames = canvas("frames");
  private readonly cameraButton = button("camera");
  private readonly prior = element("prior", HTMLSelectElement);
  private readonly moving = element("moving", HTMLInputElement);
  private readonly movement: MovementTable;
  private readonly bars = new Bars();
  private readonly chosen = new Faces(() => {
    this.showFaces();
  });
  private readonly timeline = new Timeline();
  private readonly records = new Records();
  private readonly smoother: Smoother;
  private model: RecognizerEntry;
  private source: Source = "none";
  private name = "";
  /** Grows with every new source: what was begun for an older one stops. */
  private turn = 0;
  private photo: Blob | null = null;
  private faces: readonly ReadFace[] = [];
  private pictureWidth = 1;
  private time = 0;
  private announced = -Infinity;
  private rate = 0;
  private lastFrame = 0;
  private lastFigures = 0;
  private lastCourse = 0;

  constructor(
    manifest: Manifest,
    private readonly engine: Engine,
  ) {
    const { smoothing, patience } = manifest.tracking;
    this.smoother = new Smoother(smoothing, patience);
    this.model = manifest.recognizers.find(({ name }) => name === manifest.recognizer)!;
    this.bars.name(this.model.labels);
    offerModels(manifest.recognizers, this.model.name, (entry) => this.change(entry));
    offerPriors(this.model, null);
    this.movement = new MovementTable(manifest);
    this.prior.disabled = this.moving.disabled = false;
    this.prior.addEventListener("change", () => {
      this.prior.disabled = true;
      this.attempt(
        this.change(this.model).finally(() => {
          this.prior.disabled = false;
        }),
      );
    });
    this.moving.addEventListener("change", () => {
      this.moving.disabled = true;
      this.attempt(
        this.tellMovement().finally(() => {
          this.moving.disabled = false;
        }),
      );
    });
    const file = element("file", HTMLInputElement);
    for (const control of [this.cameraButton, button("open")]) control.disabled = false;
    this.cameraButton.addEventListener("click", () => {
      if (this.source === "camera") this.stop();
      else this.attempt(this.useCamera());
    });
    button("open").addEventListener("click", () => {
      file.click();
    });
    file.addEventListener("change", () => {
      const chosen = file.files?.[0];
      if (chosen) this.take(chosen);
      file.value = "";
    });
    offerSamples(manifest.samples.gallery, (entry) => {
      this.attempt(sample(entry.file).then((photo) => this.usePhoto(photo, entry.name)));
    });
    this.frames.addEventListener("click", (event) => {
      this.chooseAt(event);
    });
    button("csv").addEventListener("click", () => {
      download(new Blob([this.records.csv(this.model.labels, manifest)], { type: "text/csv" }), "kerasfer.csv");
    });
    button("png").addEventListener("click", () => {
      this.attempt(this.savePicture());
    });
    new ResizeObserver(() => {
      this.draw();
    }).observe(this.frames);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.draw();
    });
    this.video.addEventListener("ended", () => {
      this.showFaces();
      announce("The video is over");
    });
  }

  /** Reads a file that was chosen, dropped or pasted. */
  take(file: File): void {
    this.attempt(file.type.startsWith("video/") ? this.useVideo(file) : this.usePhoto(file, file.name));
  }

  /** Lets the camera go, when the page turns to something else. */
  leave(): void {
    if (this.source === "camera") this.stop();
    this.video.pause();
  }

  private attempt(work: Promise<unknown>): void {
    complain(null);
    work.catch(explain);
  }

  private begin(source: Source, name: string): number {
    this.stop();
    this.source = source;
    this.name = name;
    this.records.clear();
    this.timeline.forget();
    this.smoother.forget();
    this.announced = -Infinity;
    this.lastFrame = 0;
    this.rate = 0;
    element("welcome", HTMLElement).hidden = true;
    delete element("view", HTMLElement).dataset.read;
    this.video.hidden = source === "photo";
    this.still.hidden = source !== "photo";
    this.video.classList.toggle("mirrored", source === "camera");
    this.video.controls = source === "video";
    this.frames.classList.toggle("beneath", source === "video");
    element("course", HTMLElement).hidden = source === "photo";
    element("panel-read", HTMLElement).classList.toggle("live", source !== "photo");
    this.cameraButton.textContent = source === "camera" ? "Stop the camera" : "Use the camera";
    element("rate", HTMLElement).textContent = "–";
    button("png").disabled = false;
    return this.turn;
  }

  /** Ends camera and video; what was read stays, to be saved. */
  private stop(): void {
    this.turn++;
    if (this.video.srcObject instanceof MediaStream) {
      for (const track of this.video.srcObject.getTracks()) track.stop();
    }
    this.video.pause();
    this.video.srcObject = null;
    if (this.video.src) {
      URL.revokeObjectURL(this.video.src);
      this.video.removeAttribute("src");
      this.video.load();
    }
    if (this.source === "camera" || this.source === "video") {
      this.source = "none";
      this.video.hidden = true;
      this.cameraButton.textContent = "Use the camera";
      button("png").disabled = true;
      element("welcome", HTMLElement).hidden = false;
      this.faces = [];
      this.showFaces();
    }
  }

  private async usePhoto(photo: Blob, name: string): Promise<void> {
    const bitmap = await decoded(photo, name);
    const turn = this.begin("photo", name);
    this.photo = photo;
    [this.still.width, this.still.height] = [bitmap.width, bitmap.height];
    drawingOf(this.still).drawImage(bitmap, 0, 0);
    this.setShape(bitmap.width, bitmap.height);
    this.faces = [];
    this.showFaces();
    await this.readPhoto(bitmap, turn);
  }

  private async readPhoto(bitmap: ImageBitmap, turn: number): Promise<void> {
    const reading = await this.engine.call("photo", { bitmap }, [bitmap]);
    if (turn !== this.turn) return;
    this.records.clear();
    this.show(reading, 0);
    const { faces } = reading;
    if (faces.length === 0) complain("No face found in this photo. Faces are found from the front, from about 20 pixels on.");
    announce(faces.length === 0 ? "No face found" : this.told(faces));
  }

  private async useCamera(): Promise<void> {
    const devices = navigator.mediaDevices as MediaDevices | undefined;
    if (devices === undefined) {
      throw new PageError("Browsers open the camera only for pages from https or localhost. Photos and videos work here.");
    }
    this.cameraButton.disabled = true;
    try {
      const stream = await devices.getUserMedia({ video: { width: 640, height: 480, facingMode: "user" } });
      const turn = this.begin("camera", "camera");
      this.video.srcObject = stream;
      stream.getVideoTracks()[0].addEventListener("ended", () => {
        if (turn !== this.turn) return;
        this.stop();
        complain("The camera gives no more pictures. Plug it in again, or use a photo or a video.");
      });
      await this.play(turn);
    } catch (error) {
      throw this.source === "none" || error instanceof DOMException ? cameraError(error) : error;
    } finally {
      this.cameraButton.disabled = false;
    }
  }

  private async useVideo(file: File): Promise<void> {
    const turn = this.begin("video", file.name);
    this.video.src = URL.createObjectURL(file);
    await this.play(turn);
  }

  private async play(turn: number): Promise<void> {
    try {
      await this.video.play();
    } catch (error) {
      if (turn !== this.turn) return;
      this.stop();
      if (error instanceof DOMException && error.name === "NotSupportedError") {
        throw new PageError(`${this.name} is not a video that this browser can read. Use an MP4 or WebM.`);
      }
      throw error;
    }
    if (turn !== this.turn) return;
    this.setShape(this.video.videoWidth, this.video.videoHeight);
    void this.readFrames(turn).catch(explain);
  }

  /** Reads one frame after the other, as fast as the networks go: each time the one that is shown, if it is a new one. */
  private async readFrames(turn: number): Promise<void> {
    const begin = performance.now();
    // A file's frames may be turned, which all browsers heed in a bitmap.
    const copied = this.source === "camera" && (await copiesFrames());
    const fresh = new FreshFrames(this.video, () => turn === this.turn);
    const ask = async (first: boolean): Promise<{ time: number; answer: Promise<Reading> }> => {
      const time = this.source === "camera" ? (performance.now() - begin) / 1000 : this.video.currentTime;
      const shown = frameOf(this.video, copied);
      const bitmap = shown instanceof Promise ? await shown : shown;
      return { time, answer: this.engine.call("frame", { bitmap, time, first }, [bitmap]) };
    };
    await fresh.next();
    for (let asked = await ask(true); turn === this.turn; ) {
      const { time, answer } = asked;
      const reading = await answer;
      if (turn !== this.turn) return;
      // The networks have their next frame before the page shows what they said of this one.
      const next = fresh.take() ? ask(false) : null;
      this.count();
      this.show(reading, time);
      // That the video is over is told last.
      if (!this.video.ended && (time - this.announced > QUIET || time < this.announced)) {
        this.announced = time;
        announce(reading.faces.length === 0 ? "No face in view" : this.told(this.faces));
      }
      if (next === null) {
        await fresh.next();
        if (turn !== this.turn) return;
      }
      asked = await (next ?? ask(false));
    }
  }

  private count(): void {
    const now = performance.now();
    if (this.lastFrame > 0) {
      const rate = 1000 / (now - this.lastFrame);
      this.rate = this.rate === 0 ? rate : 1 / (0.9 / this.rate + 0.1 / rate);
    }
    this.lastFrame = now;
  }

  private show(reading: Reading, time: number): void {
    this.time = time;
    this.pictureWidth = reading.width;
    element("view", HTMLElement).dataset.read = this.name;
    const moving = this.source !== "photo";
    this.faces = reading.faces.map((face) => ({
      ...face,
      probabilities: moving ? this.smoother.update(face.person, time, face.probabilities) : face.probabilities,
    }));
    for (const { person, box, probabilities, movement } of this.faces) {
      const kept = movement && { ...movement, points: null };
      this.records.add({ source: this.name, time, person, model: this.model.name, box, probabilities, movement: kept });
      if (moving) this.timeline.add(person, time, probabilities);
    }
    const all = !moving || performance.now() - this.lastCourse >= UNHURRIED;
    if (all) this.lastCourse = performance.now();
    this.showFaces(all);
    if (moving && performance.now() - this.lastFigures < 400) return;
    this.lastFigures = performance.now();
    const { finding, recognizing } = reading;
    element("rate", HTMLElement).textContent = this.rate > 0 ? this.rate.toFixed(0) : "–";
    element("finding", HTMLElement).textContent = `${finding.toFixed(0)} ms`;
    element("recognizing", HTMLElement).textContent = recognizing > 0 ? `${recognizing.toFixed(1)} ms` : "–";
  }

  /** @param all whether also the course and the table of action units. */
  private showFaces(all = true): void {
    this.chosen.show(this.faces, this.model.labels);
    const face = this.faces.find(({ person }) => person === this.chosen.chosen);
    this.bars.show(face?.probabilities ?? null);
    if (all && this.moving.checked) this.movement.show(face?.movement ?? null);
    this.frames.classList.toggle("several", this.faces.length > 1);
    button("csv").disabled = this.records.empty;
    this.draw(all);
  }

  private draw(all = true): void {
    drawOver(this.frames, this.framed(), this.pictureWidth, this.source === "camera");
    this.frames.setAttribute("aria-label", this.source === "none" ? "Nothing is shown yet" : this.told(this.faces));
    if (all) this.timeline.draw(this.chosen.chosen, this.time, this.model.labels);
  }

  private framed(): Framed[] {
    return this.faces.map(({ person, box, probabilities, movement }) => {
      const label = largest(probabilities);
      return {
        person,
        box,
        name: this.model.labels[label],
        probability: probabilities[label],
        chosen: person === this.chosen.chosen,
        points: this.moving.checked ? (movement?.points ?? null) : null,
      };
    });
  }

  private told(faces: readonly ReadFace[]): string {
    if (faces.length === 0) return "No face";
    const texts = faces.map(({ person, probabilities }) => {
      const label = largest(probabilities);
      return `${faces.length > 1 ? `face ${person} ` : ""}${this.model.labels[label]}, ${percent(probabilities[label])}`;
    });
    return `${faces.length} ${faces.length > 1 ? "faces" : "face"}: ${texts.join("; ")}`;
  }

  /** Chooses the face that was pressed in the picture; the list beside it does the same for the keyboard. */
  private chooseAt({ offsetX, offsetY }: MouseEvent): void {
    const scale = this.pictureWidth / this.frames.clientWidth;
    const x = (this.source === "camera" ? this.frames.clientWidth - offsetX : offsetX) * scale;
    const y = offsetY * scale;
    const near = MARGIN * scale;
    const pressed = this.faces.filter(
      ({ box }) => x > box.left - near && x < box.right + near && y > box.top - near && y < box.bottom + near,
    );
    const distance = ({ box }: ReadFace): number => Math.hypot(x - (box.left + box.right) / 2, y - (box.top + box.bottom) / 2);
    const [nearest] = pressed.sort((one, other) => distance(one) - distance(other)) as [ReadFace?];
    if (nearest !== undefined) this.chosen.choose(nearest.person);
  }

  private setShape(width: number, height: number): void {
    const view = element("view", HTMLElement);
    view.style.setProperty("--width", String(width));
    view.style.setProperty("--height", String(height));
    this.draw();
  }

  private async savePicture(): Promise<void> {
    const shown = this.source === "photo" ? this.still : this.video;
    const [width, height] =
      shown instanceof HTMLVideoElement ? [shown.videoWidth, shown.videoHeight] : [shown.width, shown.height];
    const copy = document.createElement("canvas");
    [copy.width, copy.height] = [width, height];
    const drawing = drawingOf(copy);
    const mirrored = this.source === "camera";
    if (mirrored) drawing.setTransform(-1, 0, 0, 1, width, 0);
    drawing.drawImage(shown, 0, 0);
    drawing.setTransform(1, 0, 0, 1, 0, 0);
    const unit = Math.max(1, Math.max(width, height) / 800);
    drawFrames(drawing, this.framed(), width, width / this.pictureWidth, mirrored, true, unit);
    await downloadPicture(copy, "kerasfer.png");
  }

  private async change(entry: RecognizerEntry): Promise<boolean> {
    complain(null);
    try {
      const prior = chosenPrior(entry);
      await this.engine.call("choose", { name: entry.name, prior });
      offerPriors(entry, prior);
    } catch (error) {
      complain(`${entry.title} cannot be loaded: ${error instanceof Error ? error.message : String(error)}`);
      return false;
    }
    if (entry.labels.join() !== this.model.labels.join()) {
      this.records.clear();
      this.timeline.forget();
    }
    this.model = entry;
    this.smoother.forget();
    this.bars.name(entry.labels);
    await this.readAgain();
    return true;
  }

  /** Tells action units and blendshapes, or no more. */
  private async tellMovement(): Promise<void> {
    try {
      await this.engine.call("move", { wanted: this.moving.checked });
    } catch (error) {
      this.moving.checked = false;
      throw error;
    }
    element("units", HTMLElement).hidden = !this.moving.checked;
    this.movement.show(null);
    await this.readAgain();
    this.showFaces();
  }

  private async readAgain(): Promise<void> {
    if (this.source !== "photo" || this.photo === null) return;
    await this.readPhoto(await decoded(this.photo, this.name), this.turn).catch(explain);
  }
}

/** Tells which frames of a video are new. */
class FreshFrames {
  private fresh = false;
  private tell: (() => void) | null = null;

  constructor(video: HTMLVideoElement, wanted: () => boolean) {
    const watch = (): void => {
      this.fresh = true;
      this.tell?.();
      if (wanted()) video.requestVideoFrameCallback(watch);
    };
    video.requestVideoFrameCallback(watch);
  }

  /** Takes the frame that is shown; false if it was taken before. */
  take(): boolean {
    const { fresh } = this;
    this.fresh = false;
    return fresh;
  }

  /** Takes the frame that is shown or, if it was taken before, the next one. */
  async next(): Promise<void> {
    if (!this.fresh) await new Promise<void>((done) => (this.tell = done));
    this.fresh = false;
  }
}

/** Whether the browser gives the pixels of a camera's frame without drawing it, in the color that networks take. */
async function copiesFrames(): Promise<boolean> {
  try {
    const size = { codedWidth: 2, codedHeight: 2 };
    const frame = new VideoFrame(new Uint8Array(6), { format: "I420", timestamp: 0, ...size });
    await frame.copyTo(new Uint8Array(16), { format: "RGBA" }).finally(() => {
      frame.close();
    });
    return true;
  } catch {
    return false;
  }
}

/** The frame that a video shows, a large one reduced. `copied`: whether it may be handed over as it is. */
function frameOf(video: HTMLVideoElement, copied: boolean): Frame | Promise<Frame> {
  const { videoWidth: width, videoHeight: height } = video;
  const scale = LONGEST_FRAME / Math.max(width, height);
  if (scale < 1) {
    const [resizeWidth, resizeHeight] = [Math.round(width * scale), Math.round(height * scale)];
    return createImageBitmap(video, { resizeWidth, resizeHeight });
  }
  if (copied) {
    const frame = new VideoFrame(video);
    const { visibleRect: seen } = frame;
    const turned = "rotation" in frame && frame.rotation !== 0;
    if (seen?.width === width && seen.height === height && !turned) return frame;
    frame.close();
  }
  return createImageBitmap(video);
}

function cameraError(error: unknown): PageError {
  const name = error instanceof DOMException ? error.name : "";
  const remedy = "Use a photo or a video instead.";
  if (name === "NotFoundError" || name === "OverconstrainedError") return new PageError(`No camera found. ${remedy}`);
  if (name === "NotAllowedError" || name === "SecurityError") {
    return new PageError(`The camera may not be used: allow it for this page in the browser's settings. ${remedy}`);
  }
  if (name === "NotReadableError" || name === "AbortError") {
    return new PageError(`The camera does not answer: another program may be using it. ${remedy}`);
  }
  return new PageError(`The camera cannot be used (${String(error)}). ${remedy}`);
}
