/** LiteRT, the runtime of TFLite files, and networks that are ready to run. */
import { type CompiledModel, loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";

declare global {
  /** LiteRT's loader looks here for settings of the runtime. */
  var Module: unknown;
}

/** What the runtime said last: its notes are many, and of interest only when something fails. */
const said: string[] = [];

/**
 * Starts the runtime. To be called in a worker, once.
 *
 * @param script address of its part in JavaScript, of this origin.
 * @param code where its compiled part comes from, as `{ module }`, or why it does not, as `{ error }`.
 */
export async function startRuntime(script: string, code: MessagePort): Promise<void> {
  const compiled = new Promise<WebAssembly.Module>((done, failed) => {
    code.onmessage = ({ data }: MessageEvent<{ module?: WebAssembly.Module; error?: string }>) => {
      if (data.module === undefined) failed(new Error(data.error));
      else done(data.module);
    };
  });
  const note = (line: string): void => {
    said.push(line);
    if (said.length > 20) said.shift();
  };
  const broken = new Promise<never>((_, failed) => {
    const instantiateWasm = (imports: WebAssembly.Imports, done: (instance: WebAssembly.Instance) => void): object => {
      compiled.then((module) => WebAssembly.instantiate(module, imports)).then(done, failed);
      return {};
    };
    globalThis.Module = { print: note, printErr: note, instantiateWasm };
  });
  // The networks are small and run on the processor. LiteRT would ask for a graphics device first, and warn without.
  Object.defineProperty(navigator, "gpu", { value: undefined, configurable: true });
  const { warn } = console;
  console.warn = () => undefined;
  try {
    await Promise.race([loadLiteRt(script), broken]);
  } finally {
    console.warn = warn;
  }
}

export type Values = Float32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>;

/** A compiled network. */
export class Network {
  private constructor(private readonly model: CompiledModel) {}

  static async compile(content: Uint8Array): Promise<Network> {
    said.length = 0;
    try {
      return new Network(await loadAndCompile(content, { accelerator: "wasm" }));
    } catch (error) {
      throw new Error([String(error), ...said].join("; "), { cause: error });
    }
  }

  /**
   * Runs the network once.
   *
   * @param inputs name of each input -> its values; a network with one input takes any name.
   * @returns the outputs by their number of values.
   */
  async run(inputs: Readonly<Record<string, Values>>): Promise<Map<number, Values>> {
    return new Map((await this.outputs(inputs)).map((values) => [values.length, values]));
  }

  /** The same with the outputs in the network's order. */
  async outputs(inputs: Readonly<Record<string, Values>>): Promise<Values[]> {
    const details = this.model.getInputDetails();
    const tensors = details.map(({ name, shape }) => {
      const values = details.length === 1 ? Object.values(inputs)[0] : inputs[name];
      return new Tensor(values, shape);
    });
    try {
      const outputs = await this.model.run(tensors);
      return outputs.map((output) => {
        const values = output.toTypedArray().slice() as Values;
        output.delete();
        return values;
      });
    } finally {
      for (const tensor of tensors) tensor.delete();
    }
  }

  delete(): void {
    this.model.delete();
  }
}
