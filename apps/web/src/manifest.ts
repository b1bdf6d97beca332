/** What `apps/web/manifest.py` writes at build time: the networks, what they take, and what was measured of them. */
export interface Manifest {
  readonly version: string;
  readonly recognizer: string;
  readonly generator: string;
  readonly detector: DetectorSettings;
  readonly mesh: MeshSettings;
  readonly template: Template;
  readonly tracking: TrackingSettings;
  readonly recognizers: readonly RecognizerEntry[];
  readonly generators: readonly GeneratorEntry[];
  readonly samples: { readonly photo: string; readonly face: string; readonly expression: string };
}

/** The constants of `kerasfer.detection.blazeface`. */
export interface DetectorSettings {
  readonly file: string;
  readonly window: number;
  readonly padding: number;
  readonly step: number;
  readonly smallest: number;
  readonly minimumScore: number;
  readonly tileScore: number;
  readonly trustedScore: number;
  readonly sureScore: number;
}

/** The constants of `kerasfer.detection.mesh`, and the mesh points that stand for the 68 landmarks. */
export interface MeshSettings {
  readonly file: string;
  readonly size: number;
  readonly points: number;
  readonly present: number;
  readonly confirmed: number;
  readonly landmarks: readonly number[];
  readonly rightEye: readonly number[];
  readonly leftEye: readonly number[];
}

/** Where an aligned face has its parts, as `kerasfer.detection.Template`. */
export interface Template {
  /** Right eye, left eye, nose and mouth in a square of side 1. */
  readonly points: readonly (readonly [number, number])[];
  readonly boxRatio: number;
  readonly boxShift: number;
}

/** The constants of `kerasfer.tracking`. */
export interface TrackingSettings {
  readonly every: number;
  readonly closeEvery: number;
  readonly closeApart: number;
  readonly cut: number;
  /** Height and width. */
  readonly reduced: readonly [number, number];
  readonly samePerson: number;
  readonly sameFace: number;
  readonly patience: number;
  readonly smoothing: number;
}

/** Size, channels and value range of a network's images. */
export interface ImageFormat {
  readonly size: number;
  readonly channels: 1 | 3;
  readonly range: readonly [number, number];
}

/** How a tensor's numbers stand for values: value = (number - zero) * scale; null if they are the values. */
export interface Quantization {
  readonly scale: number;
  readonly zero: number;
}

export interface RecognizerEntry {
  readonly name: string;
  readonly title: string;
  readonly file: string;
  readonly storage: string;
  readonly bytes: number;
  readonly labels: readonly string[];
  /** What probabilities are multiplied by so that all expressions count as equally frequent; null if not known. */
  readonly balancing: readonly number[] | null;
  readonly image: ImageFormat;
  readonly input: Quantization | null;
  readonly output: Quantization | null;
  readonly accuracy: number | null;
  readonly accuracyOf: string | null;
  readonly milliseconds: number | null;
  readonly millisecondsOf: string | null;
}

export interface GeneratorEntry {
  readonly name: string;
  readonly title: string;
  readonly file: string;
  readonly storage: string;
  readonly bytes: number;
  readonly image: ImageFormat;
  /** Name of an input -> shape of one row. */
  readonly inputs: Readonly<Record<string, readonly number[]>>;
}
