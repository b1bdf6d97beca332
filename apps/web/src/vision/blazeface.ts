/** MediaPipe's short-range face detector, looking as `kerasfer.detection`'s "quick" does. */
import type { DetectorSettings } from "../manifest";
import { area, type Box, overlap, shared } from "./boxes";
import { blank, levels, paste, type Picture, resize, roundEven, toColors } from "./pictures";
import { Network } from "./runtime";
import { withImageSize } from "./shapes";

/** The network takes -1 to 1. */
const LEVELS = levels(1 / 127.5, -1);

/** Sizes of picture that a compiled network is kept for: those used last. */
const MOST_OPENED = 6;

/** A face as the detector reports it; `roll` is the angle of the line between the eyes in radians. */
export interface Candidate {
  readonly box: Box;
  readonly score: number;
  readonly roll: number;
  /** Whether the face counts even if the face mesh does not see one there. */
  readonly trusted: boolean;
}

/** One answer of the network: left, top, right, bottom, and from the right to the left eye, x and y. */
interface Answer {
  readonly values: readonly number[];
  readonly score: number;
}

export class Detector {
  private readonly opened = new Map<string, Network>();

  constructor(
    private readonly settings: DetectorSettings,
    private readonly content: Uint8Array,
  ) {}

  /** Side of what the network sees in one look, in pixels. */
  get window(): number {
    return this.settings.window;
  }

  /** Compiles the network for the first look. */
  async warmUp(): Promise<void> {
    const { window } = this.settings;
    await this.answers(blank(window, window), 1);
  }

  /**
   * Finds faces in as few looks as it takes; the most confident first.
   *
   * Looks at the whole picture; if there is no face, with a black border; if there is still none, or a small one, at
   * twice the resolution, and then at four times.
   *
   * @param closely whether to look at these resolutions in any case: that finds small faces beside large ones.
   * @param most the highest of these resolutions, 2 or 4; the last one takes most of the time.
   */
  async find(picture: Picture, closely: boolean, most: 2 | 4 = 4): Promise<Candidate[]> {
    const { window, padding, smallest, minimumScore, tileScore } = this.settings;
    const longer = Math.max(picture.width, picture.height);
    // Of a large picture, first all that two windows show: seldom is more needed, and looks at less are quicker.
    let finest = longer <= 4 * window ? longer : 2 * window;
    let reduced = scaled(picture, finest);
    const enlarged = (faces: readonly Candidate[]): Candidate[] =>
      faces.map((face) => ({ ...face, box: moved(face.box, 0, 0, finest / longer) }));
    let seen = await this.look(reduced, 1, minimumScore);
    if (seen.length === 0) seen = await this.look(reduced, 1 / padding, minimumScore);
    let found = enlarged(seen);
    for (const windows of [2, 4]) {
      const least = found.length > 0 ? Math.min(...found.map(({ box }) => (box.right - box.left) / longer)) : 0;
      if (windows > most || window * windows > 1.5 * longer || (!closely && least > (2 * smallest) / windows)) break;
      if (finest < Math.min(longer, window * windows)) {
        finest = window * windows;
        reduced = scaled(picture, finest);
      }
      found = found.concat(enlarged(await this.overview(reduced, windows, Math.max(minimumScore, tileScore))));
    }
    return merged(found);
  }

  /** Finds faces in the picture as a whole, its longer side as long as that many windows, at most 1. */
  private async look(picture: Picture, windows: number, minimumScore: number): Promise<Candidate[]> {
    const { window, trustedScore } = this.settings;
    const scale = (window * windows) / Math.max(picture.width, picture.height);
    const resized = scaled(picture, window * windows);
    const seen = blank(window, window);
    const left = Math.floor((resized.width - window) / 2);
    const top = Math.floor((resized.height - window) / 2);
    paste(seen, resized, -left, -top);
    return (await this.facesIn(seen, minimumScore)).map(({ box, score, roll }) => ({
      box: moved(box, left, top, scale),
      score,
      roll,
      trusted: score >= trustedScore,
    }));
  }

  /** Finds faces by letting the network see all of a picture, its longer side as long as that many windows. */
  private async overview(picture: Picture, windows: number, minimumScore: number): Promise<Candidate[]> {
    const { window, step, sureScore } = this.settings;
    const scale = (window * windows) / Math.max(picture.width, picture.height);
    const resized = scaled(picture, window * windows);
    const seen = blank(Math.ceil(resized.width / step) * step, Math.ceil(resized.height / step) * step);
    paste(seen, resized, 0, 0);
    return (await this.facesIn(seen, minimumScore)).map(({ box, score, roll }) => ({
      box: moved(box, 0, 0, scale),
      score,
      roll,
      trusted: score >= sureScore,
    }));
  }

  /** Faces in what the network sees. Overlapping answers are averaged, weighted by their scores. */
  async facesIn(seen: Picture, minimumScore: number): Promise<Omit<Candidate, "trusted">[]> {
    let answers = await this.answers(seen, minimumScore);
    answers.sort((one, other) => other.score - one.score);
    const found = [];
    while (answers.length > 0) {
      const [best] = answers;
      const same = answers.filter((answer) => answer === best || overlap(boxOf(best.values), boxOf(answer.values)) > 0.3);
      answers = answers.filter((answer) => !same.includes(answer));
      const weight = same.reduce((sum, { score }) => sum + score, 0);
      const mean = best.values.map((_, i) => same.reduce((sum, { values, score }) => sum + score * values[i], 0) / weight);
      found.push({ box: boxOf(mean), score: best.score, roll: Math.atan2(mean[5], mean[4]) });
    }
    return found;
  }

  /** The network's sure answers. Its anchors: two in the middle of each cell of 8 pixels, then six of each of 16. */
  private async answers(seen: Picture, minimumScore: number): Promise<Answer[]> {
    const count = (seen.width * seen.height) / 32 + (6 * seen.width * seen.height) / 256;
    const network = await this.network(seen, count);
    const outputs = await network.run({ input: toColors(seen, LEVELS) });
    const [values, logits] = [outputs.get(count * 16)!, outputs.get(count)!];
    const answers: Answer[] = [];
    // Most answers are far below the least score: that is told without the exponential.
    const least = Math.log(minimumScore / (1 - minimumScore)) - 1e-3;
    let anchor = 0;
    for (const [cell, repeats] of [
      [8, 2],
      [16, 6],
    ]) {
      for (let y = cell / 2; y < seen.height; y += cell) {
        for (let x = cell / 2; x < seen.width; x += cell) {
          for (let k = 0; k < repeats; k++, anchor++) {
            if (logits[anchor] < least) continue;
            const score = 1 / (1 + Math.exp(-logits[anchor]));
            if (score < minimumScore) continue;
            const [cx, cy, width, height, rightX, rightY, leftX, leftY] = values.subarray(anchor * 16, anchor * 16 + 8);
            const [left, top] = [x + cx - width / 2, y + cy - height / 2];
            answers.push({ values: [left, top, left + width, top + height, leftX - rightX, leftY - rightY], score });
          }
        }
      }
    }
    return answers;
  }

  private async network(seen: Picture, count: number): Promise<Network> {
    const key = `${seen.width} ${seen.height}`;
    const network =
      this.opened.get(key) ?? (await Network.compile(withImageSize(this.content, seen.height, seen.width, count)));
    this.opened.delete(key);
    this.opened.set(key, network);
    if (this.opened.size > MOST_OPENED) {
      const [[oldest, unused]] = this.opened;
      this.opened.delete(oldest);
      unused.delete();
    }
    return network;
  }
}

function scaled(picture: Picture, longer: number): Picture {
  const scale = longer / Math.max(picture.width, picture.height);
  const sides = [picture.width, picture.height].map((side) => Math.max(1, roundEven(side * scale)));
  return resize(picture, sides[0], sides[1]);
}

function boxOf([left, top, right, bottom]: readonly number[]): Box {
  return { left, top, right, bottom };
}

function moved({ left, top, right, bottom }: Box, x: number, y: number, scale: number): Box {
  return boxOf([(left + x) / scale, (top + y) / scale, (right + x) / scale, (bottom + y) / scale]);
}

/** Keeps, of candidates that overlap by a third or lie within each other, the most confident one. */
function merged(candidates: readonly Candidate[]): Candidate[] {
  const kept: Candidate[] = [];
  for (const candidate of candidates.toSorted((one, other) => other.score - one.score)) {
    const known = kept.some(({ box }) => {
      const both = shared(box, candidate.box);
      return overlap(box, candidate.box) > 0.3 || (both > 0 && both > 0.7 * Math.min(area(box), area(candidate.box)));
    });
    if (!known) kept.push(candidate);
  }
  return kept;
}
