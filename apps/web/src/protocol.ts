/** What the page asks of the worker that runs the networks, and what it answers. */
import type { Manifest, PriorName } from "./manifest";
import type { Box } from "./vision/boxes";
import type { Points } from "./vision/mesh";
import type { Picture } from "./vision/pictures";
import type { UnitAnswer } from "./vision/units";

/** A face that was recognized. */
export interface ReadFace {
  /** Number of the person, from 1 on; of a photo by the size of the faces. */
  readonly person: number;
  readonly box: Box;
  readonly probabilities: readonly number[];
  /** What the parts of the face do; null if it was not asked for. */
  readonly movement: Movement | null;
}

export interface Movement {
  /** In the order of the manifest's units. */
  readonly units: readonly UnitAnswer[];
  /** Scores of the blendshapes, and the mesh in pixels of the picture; null where the network sees no face. */
  readonly shapes: readonly number[] | null;
  readonly points: Points | null;
}

export interface Reading {
  /** Size of the picture that the boxes lie in. */
  readonly width: number;
  readonly height: number;
  readonly faces: readonly ReadFace[];
  /** Milliseconds for finding the faces, and for recognizing one of them (0 without faces). */
  readonly finding: number;
  readonly recognizing: number;
}

/** A picture handed over to the worker, which closes it. */
export type Frame = ImageBitmap | VideoFrame;

/** The calls: name -> arguments and result. */
export interface Calls {
  /**
   * Starts the runtime. `base`: the page's folder. `script`: the runtime's part in JavaScript; `code`: where the other
   * part, compiled, comes as `{ module }`, or as `{ error }` why it does not.
   */
  run: { with: { base: string; script: string; code: MessagePort }; gives: null };
  /** Makes detector, mesh and the recognizer that the page begins with ready, from the contents of their files. */
  start: { with: { manifest: Manifest; contents: readonly Uint8Array[] }; gives: null };
  /** Loads a recognizer. `prior`: how frequent the expressions are to count as; null: as in its training. */
  choose: { with: { name: string; prior: PriorName | null }; gives: null };
  /** Whether action units and blendshapes are told with each face; their networks are loaded when first asked for. */
  move: { with: { wanted: boolean }; gives: null };
  /** Addresses of all that was loaded, so that the page can keep it for when there is no connection. */
  loaded: { with: null; gives: readonly string[] };
  /** Reads a photo. */
  photo: { with: { bitmap: ImageBitmap }; gives: Reading };
  /** Reads a frame of a video; `time` in seconds; `first`: whether a new video begins. */
  frame: { with: { bitmap: Frame; time: number; first: boolean }; gives: Reading };
  /** Aligns the largest face of a photo for the generators; gives null if there is none. */
  keep: { with: { role: Role; bitmap: ImageBitmap }; gives: Picture | null };
  /** Draws the kept face with the kept expression. */
  generate: { with: { name: string; amount: number }; gives: Picture };
}

export type Role = "face" | "expression";

export interface Request<Name extends keyof Calls = keyof Calls> {
  readonly number: number;
  readonly name: Name;
  readonly with: Calls[Name]["with"];
}

export interface Response {
  readonly number: number;
  readonly gives?: unknown;
  readonly error?: string;
}
