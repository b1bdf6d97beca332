/** The page's side of the worker. */
import type { Calls, Request, Response } from "./protocol";
import address from "./worker?worker&url";

interface Waiting {
  readonly done: (value: never) => void;
  readonly failed: (reason: Error) => void;
}

export class Engine {
  private readonly worker: Worker;
  private readonly waiting = new Map<number, Waiting>();
  private count = 0;

  constructor() {
    // A worker that is started from a blob keeps the page's Content-Security-Policy, whatever the server sends with the
    // script: nothing in it can reach another origin.
    const script = `importScripts(${JSON.stringify(new URL(address, document.baseURI).href)});`;
    const blob = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
    this.worker = new Worker(blob);
    this.worker.addEventListener("message", ({ data }: MessageEvent<Response>) => {
      const waiting = this.waiting.get(data.number);
      this.waiting.delete(data.number);
      if (data.error === undefined) waiting?.done(data.gives as never);
      else waiting?.failed(new Error(data.error));
    });
    this.worker.addEventListener("error", (event) => {
      event.preventDefault();
      for (const { failed } of this.waiting.values()) failed(new Error(event.message || "the worker did not start"));
      this.waiting.clear();
    });
  }

  call<Name extends keyof Calls>(
    name: Name,
    given: Calls[Name]["with"],
    handedOver: Transferable[] = [],
  ): Promise<Calls[Name]["gives"]> {
    return new Promise((done, failed) => {
      const request: Request<Name> = { number: ++this.count, name, with: given };
      this.waiting.set(request.number, { done, failed });
      this.worker.postMessage(request, handedOver);
    });
  }
}

/** Whether WebAssembly can run, with the instructions on several numbers at a time (SIMD) that the networks need. */
export function runsNetworks(): boolean {
  // A module with one function that splats an integer and takes bits of it: it is valid where SIMD is there.
  const simd = [
    0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
  ];
  return typeof WebAssembly === "object" && WebAssembly.validate(Uint8Array.from(simd));
}
