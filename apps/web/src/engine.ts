/** The page's side of the worker. */
import { compiled, content, fetched } from "./files";
import type { Manifest } from "./manifest";
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
  /** What calls wait for until the worker was told to start. */
  private begun: Promise<unknown> | null = null;

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

  /**
   * Loads what the page begins with: code and networks come while the worker starts.
   *
   * @returns the manifest, and what ends when all is ready.
   */
  async load(base: string): Promise<{ manifest: Manifest; ready: Promise<null> }> {
    const runtime = `litert/${hasRelaxedSimd() ? "litert_wasm_internal" : "litert_wasm_compat_internal"}`;
    const { port1, port2 } = new MessageChannel();
    void compiled(base, `${runtime}.wasm`).then(
      (module) => {
        port1.postMessage({ module });
      },
      (error: unknown) => {
        port1.postMessage({ error: error instanceof Error ? error.message : String(error) });
      },
    );
    const running = this.post("run", { base, script: `${base}${runtime}.js`, code: port2 }, [port2]);
    running.catch(() => undefined); // whoever waits until all is ready is told
    const manifest = (await (await fetched(base, "networks/manifest.json")).json()) as Manifest;
    const entry = manifest.recognizers.find(({ name }) => name === manifest.recognizer)!;
    const files = Promise.all([manifest.detector, manifest.mesh, entry].map(({ file }) => content(base, file)));
    let started: Promise<null>;
    const begun = (this.begun = files.then((contents) => {
      started = this.post("start", { manifest, contents }, contents.map(({ buffer }) => buffer));
      this.begun = null;
    }));
    return { manifest, ready: begun.then(() => Promise.all([running, started])).then(() => null) };
  }

  call<Name extends keyof Calls>(
    name: Name,
    given: Calls[Name]["with"],
    handedOver: Transferable[] = [],
  ): Promise<Calls[Name]["gives"]> {
    return this.begun === null
      ? this.post(name, given, handedOver)
      : this.begun.then(() => this.post(name, given, handedOver));
  }

  private post<Name extends keyof Calls>(
    name: Name,
    given: Calls[Name]["with"],
    handedOver: Transferable[],
  ): Promise<Calls[Name]["gives"]> {
    return new Promise((done, failed) => {
      const request: Request<Name> = { number: ++this.count, name, with: given };
      this.waiting.set(request.number, { done, failed });
      this.worker.postMessage(request, handedOver);
    });
  }
}

/** Whether WebAssembly has the instructions (relaxed SIMD) that the quicker one of the runtime's two files needs. */
function hasRelaxedSimd(): boolean {
  // A module with one function that looks bytes up in others.
  const relaxed = [
    0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2, 253, 15, 253,
    128, 2, 11,
  ];
  return WebAssembly.validate(Uint8Array.from(relaxed));
}

/** Whether WebAssembly can run, with the instructions on several numbers at a time (SIMD) that the networks need. */
export function runsNetworks(): boolean {
  // A module with one function that splats an integer and takes bits of it: it is valid where SIMD is there.
  const simd = [
    0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
  ];
  return typeof WebAssembly === "object" && WebAssembly.validate(Uint8Array.from(simd));
}
