/** Files of the page's folder, fetched by the page and by its worker. */

/** A file's answer; an error that says what is missing and what to do. */
export async function fetched(base: string, path: string): Promise<Response> {
  const response = await fetch(base + path).catch(() => null);
  if (response === null) throw new Error(`${path} cannot be had without a connection; what was used once is kept`);
  if (!response.ok) throw new Error(`${path} is missing (${response.status}); build the page with scripts/build_web.sh`);
  return response;
}

/** The content of a network's file. */
export async function content(base: string, file: string): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await (await fetched(base, `networks/${file}`)).arrayBuffer());
}

/** The runtime's code, compiled while it comes where the server names its type. */
export async function compiled(base: string, path: string): Promise<WebAssembly.Module> {
  const response = await fetched(base, path);
  const named = response.headers.get("Content-Type")?.startsWith("application/wasm");
  return named ? WebAssembly.compileStreaming(response) : WebAssembly.compile(await response.arrayBuffer());
}
