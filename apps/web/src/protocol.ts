/** What the page asks of the worker that runs the networks, and what it answers. */
import type { Manifest } from "./manifest";
import type { Box } from "./vision/boxes";
import type { Picture } from "./vision/pictures";

/** A face that was recognized. */
export interface ReadFace {
  /** Number of the person, from 1 on; of a photo by the size of the faces. */
  readonly person: number;
  readonly box: Box;
  readonly probabilities: readonly number[];
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

/** The calls: name -> arguments and result. */
export interface Calls {
  /** Loads runtime, detector, mesh and the recognizer that the page begins with. `base`: the page's folder. */
  start: { with: { base: string }; gives: Manifest };
  /** Loads a recognizer. `balanced`: whether all expressions are to count as equally frequent. */
  choose: { with: { name: string; balanced: boolean }; gives: null };
  /** Reads a photo. */
  photo: { with: { bitmap: ImageBitmap }; gives: Reading };
  /** Reads a frame of a video; `time` in seconds; `first`: whether a new video begins. */
  frame: { with: { bitmap: ImageBitmap; time: number; first: boolean }; gives: Reading };
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
