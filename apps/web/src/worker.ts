/** Runs the networks beside the page, so that the page never waits for them. */
import type { GeneratorEntry, Manifest } from "./manifest";
import type { Calls, Reading, Request, Response, Role } from "./protocol";
import { Detector } from "./vision/blazeface";
import { Finder, type FoundFace } from "./vision/finder";
import { Mesh } from "./vision/mesh";
import type { Picture } from "./vision/pictures";
import { type AlignedFace, Generator, Recognizer } from "./vision/recognizer";
import { Network, startRuntime } from "./vision/runtime";

/** Longer side that larger pictures are shrunk to, in pixels: what browsers can hold on any phone. */
const LONGEST_SIDE = 4096;

let base = "";
let manifest: Manifest;
let finder: Finder;
let recognizer: Recognizer;
let generator: Generator | null = null;
const kept = new Map<Role, { picture: Picture; face: FoundFace }>();

async function fetched(path: string): Promise<globalThis.Response> {
  const response = await fetch(base + path);
  if (!response.ok) throw new Error(`${path} is missing (${response.status}); build the page with scripts/build_web.sh`);
  return response;
}

async function content(file: string): Promise<Uint8Array> {
  return new Uint8Array(await (await fetched(`networks/${file}`)).arrayBuffer());
}

const calls: { [Name in keyof Calls]: (given: Calls[Name]["with"]) => Promise<Calls[Name]["gives"]> } = {
  async start(given) {
    base = given.base;
    const runtime = startRuntime(`${base}litert/`);
    manifest = (await (await fetched("networks/manifest.json")).json()) as Manifest;
    const entry = manifest.recognizers.find(({ name }) => name === manifest.recognizer)!;
    const contents = await Promise.all([manifest.detector, manifest.mesh, entry].map(({ file }) => content(file)));
    await runtime;
    const detector = new Detector(manifest.detector, contents[0]);
    const mesh = new Mesh(manifest.mesh, await Network.compile(contents[1]));
    finder = new Finder(manifest, detector, mesh);
    recognizer = new Recognizer(entry, await Network.compile(contents[2]));
    await detector.warmUp();
    await mesh.warmUp();
    return manifest;
  },

  async choose({ name, balanced }) {
    if (name !== recognizer.entry.name) {
      const entry = manifest.recognizers.find((candidate) => candidate.name === name)!;
      const next = new Recognizer(entry, await Network.compile(await content(entry.file)));
      recognizer.delete();
      recognizer = next;
    }
    recognizer.balanced = balanced;
    return null;
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
    );
  },

  async frame({ bitmap, time, first }) {
    const picture = pixels(bitmap);
    if (first) finder.forget();
    const begin = performance.now();
    const faces = await finder.follow(picture, time);
    return read(picture, faces, performance.now() - begin);
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
      const next = new Generator(entry, await Network.compile(await content(entry.file)));
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

async function read(picture: Picture, found: readonly (FoundFace & { person: number })[], finding: number): Promise<Reading> {
  const begin = performance.now();
  const faces = [];
  for (const face of found) {
    const aligned = finder.aligned(picture, face, recognizer.entry.image.size);
    const probabilities = await recognizer.recognize(aligned.picture);
    faces.push({ person: face.person, box: face.box, probabilities });
  }
  const recognizing = faces.length > 0 ? (performance.now() - begin) / faces.length : 0;
  return { width: picture.width, height: picture.height, faces, finding, recognizing };
}

const canvas = new OffscreenCanvas(1, 1);
const drawing = canvas.getContext("2d", { willReadFrequently: true })!;

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
self.addEventListener("message", ({ data }: MessageEvent<Request>) => {
  last = last.then(() => answer(data));
});
