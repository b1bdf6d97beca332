/** Keeps the page for when there is no connection, and offers to install it. */
import type { Engine } from "./engine";
import { button, complain, element } from "./page";

interface InstallPrompt extends Event {
  prompt(): Promise<unknown>;
}

/** Registers the service worker and has it keep what was loaded; to be called when the page is ready. */
export async function keepForOffline(engine: Engine): Promise<void> {
  const workers = navigator.serviceWorker as ServiceWorkerContainer | undefined;
  if (workers === undefined) return;
  const before = workers.controller;
  workers.addEventListener("controllerchange", () => {
    if (before !== null) complain("A newer version of this page is there. Load the page again to use it.");
  });
  const registration = await workers.register("sw.js");
  // Whether there is a newer version; without a connection nobody can tell.
  if (before !== null) registration.update().catch(() => undefined);
  const { active } = await workers.ready;
  const mine = performance.getEntriesByType("resource").map(({ name }) => name);
  const theirs = await engine.call("loaded", null);
  const { port1, port2 } = new MessageChannel();
  const kept = new Promise<boolean>((done) => {
    port1.onmessage = ({ data }: MessageEvent<boolean>) => {
      done(data);
    };
  });
  active?.postMessage([...new Set([...mine, ...theirs])], [port2]);
  element("offline", HTMLElement).hidden = !(await kept);
}

/** Shows a button where the browser can install the page. */
export function offerInstalling(): void {
  const control = button("install");
  let prompt: InstallPrompt | null = null;
  addEventListener("beforeinstallprompt", (event) => {
    event.preventDefault();
    prompt = event as InstallPrompt;
    control.hidden = false;
  });
  addEventListener("appinstalled", () => {
    control.hidden = true;
  });
  control.addEventListener("click", () => {
    control.hidden = true;
    void prompt?.prompt();
  });
}
