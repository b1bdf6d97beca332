/** Runs the networks beside the page, so that the page never waits for them. */
import { content } from "./files";
import type { GeneratorEntry, Manifest } from "./manifest";
import type { Calls, Frame, Reading, Request, Response, Role } from "./protocol";
import { Detector } from "./vision/blazeface";
import { Finder, type FoundFace } from "./vision/finder";
import { Mesh } from "./vision/mesh";
import { Landmarker } from "./vision/movements";
import type { Picture } from "./vision/pictures";
import { type AlignedFace, Generator, Recognizer } from "./vision/recognizer";
import { Network, startRuntime } from "./vision/runtime";
import { withFixedShapes } from "./vision/shapes";
import { unitsOf } from "./vision/units";

/** Longer side that larger pictures are shrunk to, in pixels: what browsers can hold on any phone. */
const LONGEST_SIDE = 4096;

let base = "";
let manifest: Manifest;
let detector: Detector;
let mesh: Mesh;
let finder: Finder;
let recognizer: Recognizer;
let landmarker: Landmarker | null = null;
let moving = false;
let generator: Generator | null = null;
const kept = new Map<Role, { picture: Picture; face: FoundFace }>();

const calls: { [Name in keyof Calls]: (given: Calls[Name]["with"]) => Promise<Calls[Name]["gives"]> } = {
  async run({ base: folder, script, code }) {
    base = folder;
    await startRuntime(script, code);
    return null;
  },

  async start({ manifest: given, contents }) {
    manifest = given;
    const entry = manifest.recognizers.find(({ name }) => name === manifest.recognizer)!;
    detector = new Detector(manifest.detector, contents[0]);
    mesh = new Mesh(manifest.mesh, await Network.compile(contents[1]));
    finder = new Finder(manifest, detector, mesh);
    recognizer = new Recognizer(entry, await Network.compile(contents[2]));
    // The first run of everything takes longest. If somebody waits for an answer already, that is the first run.
    for (const part of [detector, mesh, recognizer]) {
      if (!(await isAsked())) await part.warmUp();
    }
    return null;
  },

  async choose({ name, prior }) {
    if (name !== recognizer.entry.name) {
      const entry = manifest.recognizers.find((candidate) => candidate.name === name)!;
      const next = new Recognizer(entry, await Network.compile(await content(base, entry.file)));
      recognizer.delete();
      recognizer = next;
    }
    recognizer.prior = prior;
    return null;
  },

  async move({ wanted }) {
    if (wanted && landmarker === null) {
      const { landmarker: settings, blendshapes } = manifest;
      const contents = await Promise.all([settings, blendshapes].map(({ file }) => content(base, file)));
      const [points, scorer] = [await Network.compile(withFixedShapes(contents[0])), await Network.compile(contents[1])];
      landmarker = new Landmarker(settings, blendshapes, points, scorer, detector, mesh);
    }
    moving = wanted;
    return null;
  },

  loaded() {
    return Promise.resolve(performance.getEntriesByType("resource").map(({ name }) => name));
  },

  async photo({ bitmap }) {
    const picture = pixels(bitmap);
    const begin = performance.now();
    const faces = await finder.find(picture);
    const finding = performance.now() - begin;
    return read(
      picture,
      faces.map((face, index) => ({ ...face, person: index + 1 })),
      finding,
      false,
    );
  },

  async frame({ bitmap, time, first }) {
    const picture = await pixelsOf(bitmap);
    if (first) finder.forget();
    const begin = performance.now();
    const faces = await finder.follow(picture, time);
    return read(picture, faces, performance.now() - begin, true);
  },

  async keep({ role, bitmap }) {
    const picture = pixels(bitmap);
    const face = (await finder.find(picture)).find(({ points }) => points !== null);
    if (face === undefined) return null;
    kept.set(role, { picture, face });
    return finder.aligned(picture, face, 256).picture;
  },

  async generate({ name, amount }) {
    if (generator?.entry.name !== name) {
      const entry = manifest.generators.find((candidate) => candidate.name === name)!;
      const next = new Generator(entry, await Network.compile(await content(base, entry.file)));
      generator?.delete();
      generator = next;
    }
    return generator.generate(alignedFor(generator.entry, "face"), alignedFor(generator.entry, "expression"), amount);
  },
};

function alignedFor(entry: GeneratorEntry, role: Role): AlignedFace {
  const { picture, face } = kept.get(role)!;
  return finder.aligned(picture, face, entry.image.size);
}

async function read(
  picture: Picture,
  found: readonly (FoundFace & { person: number })[],
  finding: number,
  following: boolean,
): Promise<Reading> {
  const begin = performance.now();
  const wanted = moving && landmarker !== null ? landmarker : null;
  const movements = wanted && (await (following ? wanted.inFrame(picture, found) : wanted.inPhoto(picture, found)));
  const faces = [];
  for (const [index, face] of found.entries()) {
    const aligned = finder.aligned(picture, face, recognizer.entry.image.size);
    const probabilities = await recognizer.recognize(aligned.picture);
    const shown = movements?.[index] ?? null;
    const movement = movements && {
      units: unitsOf(manifest.units, shown, probabilities, recognizer.entry.shares),
      shapes: shown?.scores ?? null,
      points: shown?.points ?? null,
    };
    faces.push({ person: face.person, box: face.box, probabilities, movement });
  }
  const recognizing = faces.length > 0 ? (performance.now() - begin) / faces.length : 0;
  return { width: picture.width, height: picture.height, faces, finding, recognizing };
}

const canvas = new OffscreenCanvas(1, 1);
const drawing = canvas.getContext("2d", { willReadFrequently: true })!;

/** The pixels of a frame. One that comes from a camera is not drawn, which takes longer (and Chromium's workers may hang). */
async function pixelsOf(frame: Frame): Promise<Picture> {
  if (frame instanceof ImageBitmap) return pixels(frame);
  const { width, height } = frame.visibleRect!;
  const data = new Uint8ClampedArray(width * height * 4);
  await frame.copyTo(data, { format: "RGBA" });
  frame.close();
  return { width, height, data };
}

/** The pixels of a picture, transparency laid over white. */
function pixels(bitmap: ImageBitmap): Picture {
  const scale = Math.min(1, LONGEST_SIDE / Math.max(bitmap.width, bitmap.height));
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * scale)));
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  drawing.fillStyle = "#fff";
  drawing.fillRect(0, 0, width, height);
  drawing.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  const { data } = drawing.getImageData(0, 0, width, height);
  return { width, height, data };
}

async function answer<Name extends keyof Calls>({ number, name, with: given }: Request<Name>): Promise<void> {
  let response: Response;
  try {
    response = { number, gives: await calls[name](given) };
  } catch (error) {
    response = { number, error: error instanceof Error ? error.message : String(error) };
  }
  self.postMessage(response);
}

// One call after the other: the networks and the people followed are shared.
let last = Promise.resolve();
let waiting = 0;
self.addEventListener("message", ({ data }: MessageEvent<Request>) => {
  waiting++;
  last = last.then(() => {
    waiting--;
    return answer(data);
  });
});

/** Whether a call waits while another one is answered. */
async function isAsked(): Promise<boolean> {
  await new Promise((done) => setTimeout(done)); // what was asked meanwhile comes in now
  return waiting > 0;
}
