/** The frames around faces, drawn over a picture. */
import { colorOf, drawingOf, fitted, percent } from "./page";
import type { Box } from "./vision/boxes";

export interface Framed {
  readonly person: number;
  readonly box: Box;
  readonly label: number;
  readonly name: string;
  readonly probability: number;
}

/**
 * Draws frames with their expressions.
 *
 * @param width size of the place that the picture fills, in the drawing's units.
 * @param scale pixels of the place in pixels of the picture.
 * @param mirrored whether the picture is shown as in a mirror.
 */
export function drawFrames(
  drawing: CanvasRenderingContext2D,
  faces: readonly Framed[],
  width: number,
  scale: number,
  mirrored: boolean,
  unit = 1,
): void {
  drawing.font = `600 ${13 * unit}px system-ui, sans-serif`;
  drawing.textBaseline = "middle";
  drawing.textAlign = "left";
  for (const { person, box, label, name, probability } of faces) {
    const [across, down] = [(box.right - box.left) * scale, (box.bottom - box.top) * scale];
    const left = mirrored ? width - box.right * scale : box.left * scale;
    const top = box.top * scale;
    drawing.lineWidth = 3 * unit;
    drawing.strokeStyle = colorOf(label);
    drawing.beginPath();
    drawing.roundRect(left, top, across, down, 10 * unit);
    drawing.stroke();
    const text = `${faces.length > 1 ? `${person} ` : ""}${name} ${percent(probability)}`;
    const wide = drawing.measureText(text).width + 16 * unit;
    const high = 24 * unit;
    const x = Math.max(Math.min(left, width - wide), 0);
    const y = top >= high + 4 * unit ? top - high - 4 * unit : top + 6 * unit;
    drawing.fillStyle = "rgb(18 20 22 / 82%)";
    drawing.beginPath();
    drawing.roundRect(x, y, wide, high, high / 2);
    drawing.fill();
    drawing.fillStyle = "#fff";
    drawing.fillText(text, x + 8 * unit, y + high / 2);
  }
}

/** Draws into a canvas that lies over a picture. */
export function drawOver(target: HTMLCanvasElement, faces: readonly Framed[], pictureWidth: number, mirrored: boolean): void {
  const [width, height] = fitted(target);
  const drawing = drawingOf(target);
  drawing.clearRect(0, 0, width, height);
  drawFrames(drawing, faces, width, width / pictureWidth, mirrored);
}
