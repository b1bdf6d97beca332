/** What `apps/web/manifest.py` writes at build time: the networks, what they take, and what was measured of them. */
export interface Manifest {
  readonly version: string;
  readonly recognizer: string;
  /** Of the generators that people would accept; "" if there is none. */
  readonly generator: string;
  readonly detector: DetectorSettings;
  readonly mesh: MeshSettings;
  readonly template: Template;
  readonly tracking: TrackingSettings;
  readonly recognizers: readonly RecognizerEntry[];
  readonly generators: readonly GeneratorEntry[];
  readonly samples: Samples;
  readonly landmarker: LandmarkerSettings;
  readonly blendshapes: BlendshapeSettings;
  readonly units: UnitSettings;
}

export interface Samples {
  readonly gallery: readonly GalleryEntry[];
  readonly face: string;
  readonly expression: string;
}

/** A photo to try the page with. */
export interface GalleryEntry {
  readonly name: string;
  readonly file: string;
  /** What it shows, and whose photo it is. */
  readonly shows: string;
  readonly credit: string;
}

/** The constants of `kerasfer.detection.landmarker`. */
export interface LandmarkerSettings {
  readonly file: string;
  readonly size: number;
  readonly points: number;
  readonly present: number;
  readonly region: number;
  readonly sameFace: number;
  /** The points that the network of the blendshapes sees. */
  readonly seen: readonly number[];
}

export interface BlendshapeSettings {
  readonly file: string;
  readonly names: readonly string[];
}

/** What `kerasfer.units.description` gives. */
export interface UnitSettings {
  readonly steepness: number;
  readonly middle: number;
  readonly corners: readonly number[];
  readonly axis: readonly number[];
  readonly farthest: number;
  readonly measures: readonly MeasureEntry[];
  readonly entries: readonly UnitEntry[];
}

export interface MeasureEntry {
  readonly mean: number;
  readonly spread: number;
  readonly between: readonly (readonly [number, number])[];
  readonly these: readonly number[];
  readonly others: readonly number[];
}

export interface UnitEntry {
  readonly number: number;
  readonly name: string;
  readonly weight: number;
  readonly moved: readonly { readonly places: readonly number[]; readonly factor: number }[];
  readonly measured: readonly number[];
  readonly sides: boolean;
  readonly intensity: boolean;
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
  readonly fineEvery: number;
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

export type PriorName = "balanced" | "ferplus";

export interface RecognizerEntry {
  readonly name: string;
  readonly title: string;
  readonly file: string;
  readonly storage: string;
  readonly bytes: number;
  readonly labels: readonly string[];
  /** Name of a prior -> what probabilities are multiplied by so that it holds; those that the model can answer for. */
  readonly priors: Readonly<Partial<Record<PriorName, readonly number[]>>>;
  /** For each action unit the share of people who show it, for each of the labels. */
  readonly shares: readonly (readonly number[])[];
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
