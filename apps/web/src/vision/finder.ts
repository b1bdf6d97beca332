/** Faces in photos, and people in videos, found and followed as `kerasfer.video` does. */
import type { Manifest } from "../manifest";
import { alignment } from "./alignment";
import type { Candidate, Detector } from "./blazeface";
import { area, type Box, center, overlap } from "./boxes";
import { type Mesh, type Points, region } from "./mesh";
import { apply, coarse, inverted, type Picture, warp } from "./pictures";
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
  /** The last frame, reduced to a few gray levels; whether the scene has changed since the last look; when that was close. */
  private reduced: Float32Array | null = null;
  private changed = false;
  private closest = -Infinity;
  /** The time of the last look at the highest resolution, if it saw a face. */
  private finest = -Infinity;

  constructor(
    private readonly manifest: Manifest,
    private readonly detector: Detector,
    private readonly mesh: Mesh,
  ) {}

  /** The faces in a photo, small ones beside large ones, too, the largest first. */
  async find(picture: Picture): Promise<FoundFace[]> {
    const seen = await this.fitted(picture, await this.detector.find(picture, true));
    const faces = seen.map(([{ box }, points]) => ({ box, points }));
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
    this.changed = false;
    this.closest = this.finest = -Infinity;
  }

  /** The faces in the next frame of a video, with people's numbers from 1 on, ordered by them. */
  async follow(picture: Picture, time: number): Promise<(FoundFace & { person: number })[]> {
    const { every, patience } = this.manifest.tracking;
    this.changed ||= this.isCut(picture);
    if (this.frame++ % every === 0 || !this.people.some(({ here }) => here)) await this.lookFor(picture, time);
    else await this.goAlong(picture, time);
    this.people = this.people.filter(({ seen }) => time - seen <= patience);
    return this.people
      .filter(({ here }) => here)
      .map(({ number, box, points }) => ({ person: number, box, points }))
      .sort((one, other) => one.person - other.person);
  }

  /** What the detector saw, with the mesh; without what the mesh does not confirm. */
  private async fitted(picture: Picture, candidates: readonly Candidate[]): Promise<[Candidate, Points | null][]> {
    const found: [Candidate, Points | null][] = [];
    for (const candidate of candidates) {
      const points = await this.mesh.fit(picture, candidate.box, candidate.roll, candidate.trusted);
      if (points !== null || candidate.trusted) found.push([candidate, points]);
    }
    return found;
  }

  /**
   * Whether the scene changed from the last frame to this. Each frame is compared with the one before: how many of them a
   * device manages, and what merely moves, then makes no difference.
   */
  private isCut(picture: Picture): boolean {
    const { cut, reduced: size } = this.manifest.tracking;
    const [before, now] = [this.reduced, coarse(picture, size[0], size[1])];
    this.reduced = now;
    return before !== null && now.reduce((sum, level, i) => sum + Math.abs(level - before[i]), 0) / now.length > cut;
  }

  /** Whether it is time for a close look: at the beginning, where the scene changes, and every few seconds. */
  private isClose(time: number): boolean {
    const { closeEvery, closeApart } = this.manifest.tracking;
    const since = Math.abs(time - this.closest);
    const close = since >= closeEvery || (since >= closeApart && this.changed);
    if (close) this.closest = time;
    this.changed = false;
    return close;
  }

  private async lookFor(picture: Picture, time: number): Promise<void> {
    const { samePerson, patience, fineEvery } = this.manifest.tracking;
    const close = this.isClose(time);
    const fine = close || Math.abs(time - this.finest) >= fineEvery;
    const candidates = await this.detector.find(picture, close, fine ? 4 : 2);
    if (fine) this.finest = candidates.length > 0 ? time : -Infinity;
    const found = await this.fitted(picture, candidates);
    const free = new Set(this.people.filter(({ seen }) => time - seen <= patience));
    const unseen = close ? [] : this.people.filter(({ here, points }) => here && (points !== null || !fine));
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

  /**
   * Follows somebody whom a look that was not close did not find: a small face, above all. Who has no mesh stays where he
   * was; whether he is gone, the next look at the highest resolution tells.
   */
  private async goOn(picture: Picture, person: Person, time: number): Promise<void> {
    const points = person.points && (await this.mesh.follow(picture, person.points));
    if (person.points !== null && points === null) return;
    const box = points === null ? person.box : boxAround(points, person.frame);
    const known = this.people.some((other) => other.here && overlap(other.box, box) > this.manifest.tracking.samePerson);
    if (!known) Object.assign(person, { box, seen: points === null ? person.seen : time, points, here: true });
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
