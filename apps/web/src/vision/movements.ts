/** MediaPipe's face landmarker: 478 points and 52 blendshapes, asked as `kerasfer.detection.landmarker` asks it. */
import type { BlendshapeSettings, LandmarkerSettings } from "../manifest";
import { type Box, center, longerSide, overlap } from "./boxes";
import type { Detector } from "./blazeface";
import type { FoundFace } from "./finder";
import { type Mesh, type Points, region, type Region } from "./mesh";
import { apply, clamp, levels, type Matrix, type Picture, sampledAtCorners, toColors, warp } from "./pictures";
import type { Network } from "./runtime";

/** The network takes 0 to 1. */
const LEVELS = levels(1 / 255, 0);

/** What a face's parts do: the mesh with irises in pixels of the picture, and the scores of the blendshapes. */
export interface Movements {
  readonly points: Points;
  /** How far each point lies behind the face's middle, in pixels of the picture too. */
  readonly depths: readonly number[];
  readonly scores: readonly number[];
}

export class Landmarker {
  constructor(
    private readonly settings: LandmarkerSettings,
    private readonly shapes: BlendshapeSettings,
    private readonly network: Network,
    private readonly scorer: Network,
    private readonly detector: Detector,
    private readonly mesh: Mesh,
  ) {}

  /** The movements of faces in a photo, in order; null where the network sees no face. */
  async inPhoto(picture: Picture, faces: readonly FoundFace[]): Promise<(Movements | null)[]> {
    const seen = await this.glance(picture);
    const answers = [];
    for (const face of faces) {
      const { box, roll } = this.nearest(face, seen);
      const square = { center: center(box), side: this.settings.region * longerSide(box), roll };
      answers.push(await this.fitted(square, (matrix) => sampledAtCorners(picture, matrix, this.settings.size, false)));
    }
    return answers;
  }

  /** The same of faces in a frame of a video: the network looks where the mesh that follows them is. */
  async inFrame(picture: Picture, faces: readonly FoundFace[]): Promise<(Movements | null)[]> {
    const answers = [];
    for (const face of faces) {
      if (face.points === null) answers.push(...(await this.inPhoto(picture, [face])));
      else answers.push(await this.fitted(region(face.points), (matrix) => warp(picture, matrix, this.settings.size)));
    }
    return answers;
  }

  /** What MediaPipe's detector sees in one look at the whole picture. */
  private async glance(picture: Picture): Promise<{ box: Box; roll: number }[]> {
    const { window } = this.detector;
    const longer = Math.max(picture.width, picture.height);
    const scale = longer / window;
    const [left, top] = [(picture.width - longer) / 2, (picture.height - longer) / 2];
    const seen = sampledAtCorners(picture, [scale, 0, left, 0, scale, top], window, true);
    return (await this.detector.facesIn(seen, this.settings.present)).map(({ box, roll }) => ({
      box: {
        left: box.left * scale + left,
        top: box.top * scale + top,
        right: box.right * scale + left,
        bottom: box.bottom * scale + top,
      },
      roll,
    }));
  }

  /** Box and roll of a face as the glance saw it, or as it was found. */
  private nearest({ box, points }: FoundFace, seen: readonly { box: Box; roll: number }[]): { box: Box; roll: number } {
    const shares = seen.map((other) => overlap(box, other.box));
    const best = shares.indexOf(Math.max(...shares));
    if (best >= 0 && shares[best] >= this.settings.sameFace) return seen[best];
    if (points === null) return { box, roll: 0 };
    const [right, left] = this.mesh.parts(this.mesh.landmarks(points));
    return { box, roll: Math.atan2(left[1] - right[1], left[0] - right[0]) };
  }

  private async fitted({ center: middle, side, roll }: Region, look: (matrix: Matrix) => Picture): Promise<Movements | null> {
    const { size, points: count, present } = this.settings;
    const [cosine, sine] = [(Math.cos(roll) * side) / size, (Math.sin(roll) * side) / size];
    const half = size / 2;
    const matrix: Matrix = [
      cosine,
      -sine,
      middle[0] - (cosine - sine) * half,
      sine,
      cosine,
      middle[1] - (sine + cosine) * half,
    ];
    const seen = look(matrix);
    const [values, presence] = await this.network.outputs({ input: toColors(seen, LEVELS) });
    if (1 / (1 + Math.exp(-presence[0])) < present) return null;
    const points = Array.from({ length: count }, (_, i) => apply(matrix, [values[3 * i], values[3 * i + 1]]));
    const depths = points.map((_, i) => (values[3 * i + 2] * side) / size);
    const shown = Float32Array.from(this.settings.seen.flatMap((index) => [points[index][0], points[index][1]]));
    const [scores] = await this.scorer.outputs({ input: shown });
    return { points, depths, scores: Array.from(scores.subarray(0, this.shapes.names.length), (score) => clamp(score, 0, 1)) };
  }
}
