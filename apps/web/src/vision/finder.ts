/** Faces in photos, and people in videos, found and followed as `kerasfer.video` does. */
import type { Manifest } from "../manifest";
import { alignment } from "./alignment";
import type { Candidate, Detector } from "./blazeface";
import { area, type Box, center, overlap } from "./boxes";
import { type Mesh, type Points, region } from "./mesh";
import { apply, inverted, type Picture, resize, toGray, warp } from "./pictures";
import type { AlignedFace } from "./recognizer";

/** A face in a picture; `points` are the mesh's, or null of a face turned too far away for it. */
export interface FoundFace {
  readonly box: Box;
  readonly points: Points | null;
}

interface Person {
  readonly number: number;
  box: Box;
  seen: number;
  points: Points | null;
  here: boolean;
  /** Where the box lies in the mesh's square: center and size, in sides of the square. */
  frame: readonly [number, number, number, number];
}

export class Finder {
  private people: Person[] = [];
  private count = 0;
  private frame = 0;
  /** The last frame that was looked at, reduced to a few gray pixels, and the time of the last close look. */
  private reduced: Float32Array | null = null;
  private closest = -Infinity;

  constructor(
    private readonly manifest: Manifest,
    private readonly detector: Detector,
    private readonly mesh: Mesh,
  ) {}

  /** The faces in a photo, small ones beside large ones, too, the largest first. */
  async find(picture: Picture): Promise<FoundFace[]> {
    const faces = (await this.look(picture, true)).map(([{ box }, points]) => ({ box, points }));
    return faces.sort((one, other) => area(other.box) - area(one.box));
  }

  /** An aligned face. */
  aligned(picture: Picture, { box, points }: FoundFace, size: number): AlignedFace {
    const landmarks = points === null ? null : this.mesh.landmarks(points);
    const parts = landmarks === null ? null : this.mesh.parts(landmarks);
    const matrix = alignment(box, parts, size, this.manifest.template);
    return {
      picture: warp(picture, inverted(matrix), size),
      landmarks: (landmarks ?? []).map((point) => apply(matrix, point)),
    };
  }

  /** Forgets everybody: the next frame begins a video. */
  forget(): void {
    this.people = [];
    this.count = 0;
    this.frame = 0;
    this.reduced = null;
    this.closest = -Infinity;
  }

  /** The faces in the next frame of a video, with people's numbers from 1 on, ordered by them. */
  async follow(picture: Picture, time: number): Promise<(FoundFace & { person: number })[]> {
    const { every, patience } = this.manifest.tracking;
    if (this.frame++ % every === 0 || !this.people.some(({ here }) => here)) await this.lookFor(picture, time);
    else await this.goAlong(picture, time);
    this.people = this.people.filter(({ seen }) => time - seen <= patience);
    return this.people
      .filter(({ here }) => here)
      .map(({ number, box, points }) => ({ person: number, box, points }))
      .sort((one, other) => one.person - other.person);
  }

  private async look(picture: Picture, closely: boolean): Promise<[Candidate, Points | null][]> {
    const found: [Candidate, Points | null][] = [];
    for (const candidate of await this.detector.find(picture, closely)) {
      const points = await this.mesh.fit(picture, candidate.box, candidate.roll, candidate.trusted);
      if (points !== null || candidate.trusted) found.push([candidate, points]);
    }
    return found;
  }

  /** Whether it is time for a close look: at the beginning, where the scene changes, and every few seconds. */
  private isClose(picture: Picture, time: number): boolean {
    const { closeEvery, closeApart, cut, reduced: size } = this.manifest.tracking;
    const reduced = Float32Array.from(toGray(resize(picture, size[1], size[0])));
    const before = this.reduced;
    this.reduced = reduced;
    const since = Math.abs(time - this.closest);
    const change = before === null ? 0 : reduced.reduce((sum, value, i) => sum + Math.abs(value - before[i]), 0) / reduced.length;
    const close = since >= closeEvery || (since >= closeApart && change > cut);
    if (close) this.closest = time;
    return close;
  }

  private async lookFor(picture: Picture, time: number): Promise<void> {
    const { samePerson, patience } = this.manifest.tracking;
    const close = this.isClose(picture, time);
    const found = await this.look(picture, close);
    const free = new Set(this.people.filter(({ seen }) => time - seen <= patience));
    const unseen = close ? [] : this.people.filter(({ here, points }) => here && points !== null);
    for (const person of this.people) person.here = false;
    const pairs = found
      .flatMap(([{ box }], index) => [...free].map((person) => ({ index, person, shared: overlap(box, person.box) })))
      .filter(({ shared }) => shared >= samePerson)
      .sort((one, other) => other.shared - one.shared);
    const chosen = new Map<number, Person>();
    for (const { index, person } of pairs) {
      if (!chosen.has(index) && free.delete(person)) chosen.set(index, person);
    }
    found.forEach(([{ box }, points], index) => {
      let person = chosen.get(index);
      if (person === undefined) {
        person = { number: ++this.count, box, seen: time, points, here: true, frame: [0, 0, 1, 1] };
        this.people.push(person);
      }
      Object.assign(person, { box, seen: time, points, here: true });
      if (points !== null) {
        const { center: middle, side } = region(points);
        const [x, y] = center(box);
        const [width, height] = [box.right - box.left, box.bottom - box.top];
        person.frame = [(x - middle[0]) / side, (y - middle[1]) / side, width / side, height / side];
      }
    });
    for (const person of unseen.filter(({ here }) => !here)) await this.goOn(picture, person, time);
  }

  /** Follows somebody whom a look that was not close did not find: a small face, above all. */
  private async goOn(picture: Picture, person: Person, time: number): Promise<void> {
    const points = await this.mesh.follow(picture, person.points!);
    if (points === null) return;
    const box = boxAround(points, person.frame);
    const known = this.people.some((other) => other.here && overlap(other.box, box) > this.manifest.tracking.samePerson);
    if (!known) Object.assign(person, { box, seen: time, points, here: true });
  }

  private async goAlong(picture: Picture, time: number): Promise<void> {
    const seen: Person[] = [];
    for (const person of this.people.filter(({ here }) => here)) {
      if (person.points !== null) {
        person.points = await this.mesh.follow(picture, person.points);
        person.here = person.points !== null;
        if (person.points !== null) person.box = boxAround(person.points, person.frame);
      }
      if (seen.some(({ box }) => overlap(box, person.box) > this.manifest.tracking.sameFace)) person.here = false;
      if (!person.here) continue;
      person.seen = time;
      seen.push(person);
    }
  }
}

function boxAround(points: Points, [x, y, width, height]: Person["frame"]): Box {
  const { center: middle, side } = region(points);
  return {
    left: middle[0] + side * (x - width / 2),
    top: middle[1] + side * (y - height / 2),
    right: middle[0] + side * (x + width / 2),
    bottom: middle[1] + side * (y + height / 2),
  };
}
