import { Engine, runsNetworks } from "./engine";
import { keepForOffline, offerInstalling } from "./offline";
import { announce, button, complain, element, explain, PageError } from "./page";
import { Reader } from "./reader";
import { Transfer } from "./transfer";

const TABS = ["read", "transfer"] as const;
type Tab = (typeof TABS)[number];
let shown: Tab = "read";

function show(tab: Tab): void {
  shown = tab;
  complain(null);
  for (const name of TABS) {
    const control = button(`tab-${name}`);
    control.setAttribute("aria-selected", String(name === tab));
    control.tabIndex = name === tab ? 0 : -1;
    element(`panel-${name}`, HTMLElement).hidden = name !== tab;
  }
}

function setUpTabs(changed: () => void): void {
  TABS.forEach((tab, index) => {
    const control = button(`tab-${tab}`);
    control.addEventListener("click", () => {
      show(tab);
      changed();
    });
    control.addEventListener("keydown", ({ key }) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
      if (step === undefined) return;
      const next = button(`tab-${TABS[(index + step + TABS.length) % TABS.length]}`);
      next.focus();
      next.click();
    });
  });
}

/** Files that are dropped anywhere on the page, or pasted. */
function setUpFiles(take: (file: File, place: EventTarget | null) => void): void {
  let over = 0;
  const mark = (change: number): void => {
    over = Math.max(over + change, 0);
    document.body.classList.toggle("dropping", over > 0);
  };
  addEventListener("dragenter", (event) => {
    event.preventDefault();
    mark(1);
  });
  addEventListener("dragleave", () => {
    mark(-1);
  });
  addEventListener("dragover", (event) => {
    event.preventDefault();
  });
  const takeFrom = (event: Event, files: FileList | undefined): void => {
    if (!files?.length) return;
    event.preventDefault();
    take(files[0], event.target);
  };
  addEventListener("drop", (event) => {
    event.preventDefault();
    over = 0;
    mark(0);
    takeFrom(event, event.dataTransfer?.files);
  });
  addEventListener("paste", (event) => {
    takeFrom(event, event.clipboardData?.files);
  });
}

async function main(): Promise<void> {
  let reader: Reader | null = null;
  setUpTabs(() => {
    if (shown !== "read") reader?.leave();
  });
  offerInstalling();
  if (!runsNetworks()) {
    throw new PageError("This browser has no WebAssembly SIMD, which the networks need. Use a newer browser.");
  }
  const engine = new Engine();
  const { manifest, ready: loaded } = await engine.load(new URL("./", document.baseURI).href).catch(unloaded);
  const ready = loaded.catch(unloaded);
  const reading = (reader = new Reader(manifest, engine));
  const transfer = new Transfer(manifest, engine);
  if (manifest.generators.length > 0) showTabs();
  setUpFiles((file, place) => {
    if (shown === "read") reading.take(file);
    else transfer.take(file, place);
  });
  element("version", HTMLElement).textContent = manifest.version;
  await ready;
  element("loading", HTMLElement).hidden = true;
  document.documentElement.dataset.ready = performance.now().toFixed(0);
  announce("Ready");
  await keepForOffline(engine).catch((error: unknown) => {
    console.warn("The page is not kept for later:", error);
  });
}

function unloaded(error: unknown): never {
  const reason = error instanceof Error ? error.message : String(error);
  throw new PageError(`The networks could not be loaded: ${reason}`, { cause: error });
}

/** Two tabs, where there is a generator that people accept. */
function showTabs(): void {
  element("tabs", HTMLElement).hidden = false;
  const panel = element("panel-read", HTMLElement);
  panel.setAttribute("role", "tabpanel");
  panel.removeAttribute("aria-label");
  panel.setAttribute("aria-labelledby", "tab-read");
}

main().catch((error: unknown) => {
  element("loading", HTMLElement).hidden = true;
  explain(error);
});
