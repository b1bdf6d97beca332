/** Marks around faces, drawn over a picture: corners of a frame, and the points of the mesh. */
import { drawingOf, fitted, percent } from "./page";
import type { Box } from "./vision/boxes";
import type { Points } from "./vision/mesh";

export interface Framed {
  readonly person: number;
  readonly box: Box;
  readonly name: string;
  readonly probability: number;
  readonly chosen: boolean;
  /** The mesh; null if it is not to be shown. */
  readonly points: Points | null;
}

/** On any picture: a light line with a dark one beneath, or the signal's color with a dark one. */
const PAPER = "#ffffff";
const SIGNAL = "#ff8b66";
const BENEATH = "rgb(10 12 13 / 72%)";

/**
 * Draws the marks.
 *
 * @param width size of the place that the picture fills, in the drawing's units.
 * @param scale pixels of the place in pixels of the picture.
 * @param mirrored whether the picture is shown as in a mirror.
 * @param told whether expressions are written beside the faces: in a picture that leaves the page.
 */
export function drawFrames(
  drawing: CanvasRenderingContext2D,
  faces: readonly Framed[],
  width: number,
  scale: number,
  mirrored: boolean,
  told: boolean,
  unit = 1,
): void {
  const several = faces.length > 1;
  drawing.font = `600 ${13 * unit}px ui-monospace, "DejaVu Sans Mono", monospace`;
  drawing.textBaseline = "middle";
  drawing.textAlign = "left";
  drawing.lineCap = "butt";
  drawing.lineJoin = "miter";
  for (const { person, box, name, probability, chosen, points } of faces) {
    const [across, down] = [(box.right - box.left) * scale, (box.bottom - box.top) * scale];
    const left = mirrored ? width - box.right * scale : box.left * scale;
    const top = box.top * scale;
    const color = chosen ? SIGNAL : PAPER;
    if (points !== null) {
      const radius = Math.max(0.7, Math.min(1.6, across / 220)) * unit;
      drawing.fillStyle = color;
      drawing.beginPath();
      for (const [x, y] of points) {
        const place = mirrored ? width - x * scale : x * scale;
        drawing.rect(place - radius, y * scale - radius, 2 * radius, 2 * radius);
      }
      drawing.fill();
    }
    drawing.beginPath();
    const corner = Math.min(across, down) * 0.2;
    for (const [x, y, right, low] of [
      [left, top, 1, 1],
      [left + across, top, -1, 1],
      [left + across, top + down, -1, -1],
      [left, top + down, 1, -1],
    ]) {
      drawing.moveTo(x, y + low * corner);
      drawing.lineTo(x, y);
      drawing.lineTo(x + right * corner, y);
    }
    for (const [style, thick] of [
      [BENEATH, 5],
      [color, 2],
    ] as const) {
      drawing.strokeStyle = style;
      drawing.lineWidth = thick * unit;
      drawing.stroke();
    }
    const texts = [...(several ? [String(person)] : []), ...(told ? [name, percent(probability)] : [])];
    if (texts.length === 0) continue;
    const text = texts.join(" ");
    const wide = drawing.measureText(text).width + 14 * unit;
    const high = 22 * unit;
    const x = Math.max(Math.min(left, width - wide), 0);
    const y = top >= high + 5 * unit ? top - high - 5 * unit : top + 5 * unit;
    drawing.fillStyle = "rgb(10 12 13 / 86%)";
    drawing.fillRect(x, y, wide, high);
    drawing.fillStyle = color;
    drawing.fillText(text, x + 7 * unit, y + high / 2);
  }
}

/** Draws into a canvas that lies over a picture. */
export function drawOver(target: HTMLCanvasElement, faces: readonly Framed[], pictureWidth: number, mirrored: boolean): void {
  const [width, height] = fitted(target);
  const drawing = drawingOf(target);
  drawing.clearRect(0, 0, width, height);
  drawFrames(drawing, faces, width, width / pictureWidth, mirrored, false);
}
