/** Recognizers and generators: kerasfer's own networks, run as `kerasfer.lite` runs them. */
import type { GeneratorEntry, ImageFormat, PriorName, Quantization, RecognizerEntry } from "../manifest";
import { blank, clamp, type Picture, roundEven, toGray } from "./pictures";
import type { Network, Values } from "./runtime";

/** An aligned face in a network's color and range. */
function prepared(face: Picture, { channels, range: [low, high] }: ImageFormat): Float32Array<ArrayBuffer> {
  const pixels = channels === 1 ? toGray(face) : face.data.filter((_, i) => i % 4 !== 3);
  return Float32Array.from(pixels, (value) => (value * (high - low)) / 255 + low);
}

function quantized(values: Float32Array<ArrayBuffer>, quantization: Quantization | null): Values {
  if (quantization === null) return values;
  const { scale, zero } = quantization;
  return Uint8Array.from(values, (value) => clamp(roundEven(value / scale + zero), 0, 255));
}

/** The least that a probability counts as before it is multiplied. */
const SMALLEST = 1e-12;

export class Recognizer {
  /** How frequent the expressions count as; null: as in training. */
  prior: PriorName | null = null;

  constructor(
    readonly entry: RecognizerEntry,
    private readonly network: Network,
  ) {}

  /** Probabilities of an aligned face, in the order of the labels; they add up to 1. */
  async recognize(face: Picture): Promise<number[]> {
    const { image, input, output, labels } = this.entry;
    const outputs = await this.network.run({ face: quantized(prepared(face, image), input) });
    const answer = Array.from(outputs.get(labels.length)!);
    const values = output === null ? answer : shares(answer.map((value) => (value - output.zero) * output.scale));
    const weights = this.prior === null ? undefined : this.entry.priors[this.prior];
    if (weights === undefined) return values;
    return shares(values.map((value, i) => Math.max(value, SMALLEST) * weights[i]));
  }

  async warmUp(): Promise<void> {
    const { size } = this.entry.image;
    await this.recognize(blank(size, size));
  }

  delete(): void {
    this.network.delete();
  }
}

/** Values made to add up to 1. */
function shares(values: readonly number[]): number[] {
  const sum = values.reduce((total, value) => total + value, 0);
  return values.map((value) => value / sum);
}

/** An aligned face with its landmarks, in pixels of the aligned face. */
export interface AlignedFace {
  readonly picture: Picture;
  readonly landmarks: readonly (readonly [number, number])[];
}

export class Generator {
  private readonly noise: Float32Array<ArrayBuffer> | null;

  constructor(
    readonly entry: GeneratorEntry,
    private readonly network: Network,
  ) {
    const shape = entry.inputs.noise as readonly number[] | undefined;
    this.noise = shape === undefined ? null : uniform(shape.reduce((product, side) => product * side, 1));
  }

  /**
   * Draws a face with another's expression.
   *
   * @param amount how far to go, from the face's own expression (0) to the other's (1). A network that is driven by
   *   landmarks gets those between; one that is driven by a picture gets the two pictures mixed.
   */
  async generate(face: AlignedFace, other: AlignedFace, amount: number): Promise<Picture> {
    const { image, inputs } = this.entry;
    const own = prepared(face.picture, image);
    const values: Record<string, Values> = { face: own };
    if ("expression" in inputs) {
      const theirs = prepared(other.picture, image);
      values.expression = own.map((value, i) => value + amount * (theirs[i] - value));
    }
    if ("landmarks" in inputs) {
      values.landmarks = Float32Array.from(face.landmarks.flat(), (value, i) => {
        return value + amount * (other.landmarks[i >> 1][i & 1] - value);
      });
    }
    if (this.noise !== null) values.noise = this.noise;
    const drawn = (await this.network.run(values)).get(image.size * image.size * image.channels)!;
    const [low, high] = image.range;
    const result = blank(image.size, image.size);
    for (let p = 0; p < result.data.length; p += 4) {
      for (let k = 0; k < 3; k++) {
        const value = image.channels === 1 ? drawn[p / 4] : drawn[(p / 4) * 3 + k];
        result.data[p + k] = ((value - low) * 255) / (high - low);
      }
      result.data[p + 3] = 255;
    }
    return result;
  }

  delete(): void {
    this.network.delete();
  }
}

/** Numbers on [0, 1), the same at every visit (the generator "mulberry32"). */
function uniform(count: number): Float32Array<ArrayBuffer> {
  let state = 1;
  return Float32Array.from({ length: count }, () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  });
}
