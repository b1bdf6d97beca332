/** Small things that every part of the page needs. */
import type { Picture } from "./vision/pictures";

/** An element of the page, by its id. */
export function element<Kind extends HTMLElement>(id: string, kind: new () => Kind): Kind {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no ${kind.name} ${id}`);
  return found;
}

export function button(id: string): HTMLButtonElement {
  return element(id, HTMLButtonElement);
}

export function canvas(id: string): HTMLCanvasElement {
  return element(id, HTMLCanvasElement);
}

export function drawingOf(target: HTMLCanvasElement): CanvasRenderingContext2D {
  return target.getContext("2d")!;
}

/** A new element with classes and text. */
export function made<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  className = "",
  text = "",
): HTMLElementTagNameMap[Name] {
  const created = document.createElement(name);
  if (className) created.className = className;
  if (text) created.textContent = text;
  return created;
}

const alertLine = element("alert", HTMLElement);
const announcement = element("announcement", HTMLElement);

/** Says what went wrong and what to do; null takes it away. */
export function complain(message: string | null): void {
  alertLine.hidden = message === null;
  alertLine.textContent = message ?? "";
}

/** Tells people who listen to the page. */
export function announce(text: string): void {
  if (announcement.textContent !== text) announcement.textContent = text;
}

/** An error of the page's own, with a message for people. */
export class PageError extends Error {}

/** Shows an error; what the page did not foresee is told with its reason. */
export function explain(error: unknown): void {
  const reason = error instanceof Error ? error.message : String(error);
  complain(error instanceof PageError ? reason : `That did not work (${reason}). Load the page again.`);
}

/** Decodes a photo, upright; `PageError` if the file is none. */
export async function decoded(file: Blob, name: string): Promise<ImageBitmap> {
  try {
    return await createImageBitmap(file, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  } catch {
    throw new PageError(`${name} is not an image or a video that this browser can read. Use a JPEG or PNG, or an MP4 or WebM.`);
  }
}

/** A sample that comes with the page. */
export async function sample(path: string): Promise<Blob> {
  const response = await fetch(path);
  if (!response.ok) throw new PageError("The sample is missing. Build the page again with scripts/build_web.sh.");
  return response.blob();
}

export function imageOf({ width, data }: Picture): ImageData {
  return new ImageData(data, width);
}

/** Hands a file to the browser's downloads. */
export function download(content: Blob, name: string): void {
  const link = made("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => {
    URL.revokeObjectURL(link.href);
  }, 1000);
}

export async function downloadPicture(source: HTMLCanvasElement, name: string): Promise<void> {
  const content = await new Promise<Blob | null>((done) => {
    source.toBlob(done);
  });
  if (content === null) throw new PageError("This browser cannot write the picture as PNG.");
  download(content, name);
}

export function percent(share: number, digits = 0): string {
  return `${(100 * share).toFixed(digits)} %`;
}

/** Fits a canvas to its place in the page at the screen's resolution; gives its width and height in CSS pixels. */
export function fitted(target: HTMLCanvasElement): [number, number] {
  const { clientWidth: width, clientHeight: height } = target;
  const [across, down] = [width, height].map((side) => Math.round(side * devicePixelRatio));
  if (target.width !== across || target.height !== down) [target.width, target.height] = [across, down];
  drawingOf(target).setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
  return [width, height];
}

export function largest(values: readonly number[]): number {
  return values.indexOf(Math.max(...values));
}
