/** MediaPipe's face mesh, fitted and followed as `kerasfer.detection.mesh` does. */
import type { MeshSettings } from "../manifest";
import { type Box, center, longerSide } from "./boxes";
import { apply, blank, levels, type Matrix, type Picture, type Point, toColors, warp } from "./pictures";
import type { Network } from "./runtime";

/** The network takes 0 to 1. */
const LEVELS = levels(1 / 255, 0);

/** The mesh's points, x and y in pixels of the picture. */
export type Points = readonly Point[];

/** The square that the mesh expects around its points: center, side in pixels, angle in radians. */
export interface Region {
  readonly center: Point;
  readonly side: number;
  readonly roll: number;
}

export class Mesh {
  constructor(
    private readonly settings: MeshSettings,
    private readonly network: Network,
  ) {}

  async warmUp(): Promise<void> {
    const { size } = this.settings;
    await this.run(blank(size, size), { center: [size / 2, size / 2], side: size, roll: 0 });
  }

  /**
   * Fits the mesh to a face: looks at a square half as large again as the box, and once more where its own points say
   * that the face lies otherwise in that square than it should. Null if there is no face.
   *
   * @param trusted whether the detector was sure of the face; if not, the mesh must be.
   */
  async fit(picture: Picture, box: Box, roll: number, trusted: boolean): Promise<Points | null> {
    const square = { center: center(box), side: 1.5 * longerSide(box), roll };
    let { points, present } = await this.run(picture, square);
    const next = region(points);
    const shift = Math.hypot(next.center[0] - square.center[0], next.center[1] - square.center[1]) / square.side;
    const turn = Math.abs(modulo(next.roll - roll + Math.PI, 2 * Math.PI) - Math.PI);
    const growth = next.side / square.side;
    if (shift > 0.1 || turn > Math.PI / 18 || growth <= 0.8 || growth >= 1.25) {
      const again = await this.run(picture, next);
      if (again.present >= present) ({ points, present } = again);
    }
    return present >= (trusted ? this.settings.present : this.settings.confirmed) ? points : null;
  }

  /** Fits the mesh to a face near where it was a moment before. Null if it is gone. */
  async follow(picture: Picture, before: Points): Promise<Points | null> {
    const { points, present } = await this.run(picture, region(before));
    return present >= this.settings.present ? points : null;
  }

  /** The 68 landmarks of mesh points. */
  landmarks(points: Points): Points {
    return this.settings.landmarks.map((index) => points[index]);
  }

  /** Right eye, left eye, nose and mouth of landmarks: the points that stand at a template's. */
  parts(landmarks: Points): Point[] {
    const { rightEye, leftEye } = this.settings;
    const mean = (indices: readonly number[]): Point => [
      indices.reduce((sum, index) => sum + landmarks[index][0], 0) / indices.length,
      indices.reduce((sum, index) => sum + landmarks[index][1], 0) / indices.length,
    ];
    return [mean(rightEye), mean(leftEye), landmarks[30], mean([48, 54])];
  }

  private async run(picture: Picture, { center, side, roll }: Region): Promise<{ points: Points; present: number }> {
    const { size, points: count } = this.settings;
    const [cosine, sine] = [(Math.cos(roll) * side) / size, (Math.sin(roll) * side) / size];
    const half = size / 2;
    const matrix: Matrix = [
      cosine,
      -sine,
      center[0] - (cosine - sine) * half,
      sine,
      cosine,
      center[1] - (sine + cosine) * half,
    ];
    const seen = warp(picture, matrix, size);
    const outputs = await this.network.run({ input: toColors(seen, LEVELS) });
    const values = outputs.get(count * 3)!;
    const points = Array.from({ length: count }, (_, i) => apply(matrix, [values[3 * i], values[3 * i + 1]]));
    return { points, present: 1 / (1 + Math.exp(-outputs.get(1)![0])) };
  }
}

export function region(points: Points): Region {
  const [right, left] = [points[33], points[263]];
  const roll = Math.atan2(left[1] - right[1], left[0] - right[0]);
  const [cosine, sine] = [Math.cos(roll), Math.sin(roll)];
  const low = [Infinity, Infinity];
  const high = [-Infinity, -Infinity];
  for (const [x, y] of points) {
    const turned = [cosine * x + sine * y, cosine * y - sine * x];
    for (const axis of [0, 1]) {
      low[axis] = Math.min(low[axis], turned[axis]);
      high[axis] = Math.max(high[axis], turned[axis]);
    }
  }
  const middle = [(low[0] + high[0]) / 2, (low[1] + high[1]) / 2];
  return {
    center: [cosine * middle[0] - sine * middle[1], sine * middle[0] + cosine * middle[1]],
    side: 1.5 * Math.max(high[0] - low[0], high[1] - low[1]),
    roll,
  };
}

function modulo(value: number, divisor: number): number {
  return ((value % divisor) + divisor) % divisor;
}
