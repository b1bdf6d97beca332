/** Alignment: every face at the place, size and angle that the networks were trained on. */
import type { Template } from "../manifest";
import { type Box, center, longerSide } from "./boxes";
import type { Matrix, Point } from "./pictures";

/** The similarity transform (no reflection) that takes points nearest to others in the least-squares sense. */
function similarity(source: readonly Point[], target: readonly Point[]): Matrix {
  const mean = (points: readonly Point[], axis: 0 | 1): number =>
    points.reduce((sum, point) => sum + point[axis], 0) / points.length;
  const [fromX, fromY, toX, toY] = [mean(source, 0), mean(source, 1), mean(target, 0), mean(target, 1)];
  let [size, cosine, sine] = [0, 0, 0];
  source.forEach((point, i) => {
    const [x, y] = [point[0] - fromX, point[1] - fromY];
    const [u, v] = [target[i][0] - toX, target[i][1] - toY];
    size += x * x + y * y;
    cosine += x * u + y * v;
    sine += x * v - y * u;
  });
  cosine /= size;
  sine /= size;
  return [cosine, -sine, toX - cosine * fromX + sine * fromY, sine, cosine, toY - sine * fromX - cosine * fromY];
}

/**
 * The transform from pixels of the picture to pixels of the aligned face.
 *
 * @param box the face.
 * @param parts right eye, left eye, nose and mouth; null if they are not known: then the box's square is taken.
 * @param size side of the aligned face.
 */
export function alignment(box: Box, parts: readonly Point[] | null, size: number, template: Template): Matrix {
  if (parts !== null) {
    return similarity(
      parts,
      template.points.map(([x, y]) => [x * size, y * size]),
    );
  }
  const scale = size / (longerSide(box) * template.boxRatio);
  const [x, y] = center(box);
  const middle = y + template.boxShift * longerSide(box);
  return [scale, 0, size / 2 - scale * x, 0, scale, size / 2 - scale * middle];
}
