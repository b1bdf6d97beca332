import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { defineConfig, type Plugin } from "vite";

const SITE = "build/site";

/** Of these folders the page keeps what it was asked for; of everything else, all. */
const ON_DEMAND = ["networks", "litert"];

/** Writes the service worker, named after the content of all that was built. */
function serviceWorker(): Plugin {
  return {
    name: "service-worker",
    apply: "build",
    closeBundle() {
      const files = readdirSync(SITE, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile() && entry.name !== "sw.js")
        .map((entry) => relative(SITE, join(entry.parentPath, entry.name)).split(sep).join("/"))
        .sort();
      const hash = createHash("sha256").update(readFileSync("sw.js"));
      for (const file of files) hash.update(`${file}\n`).update(readFileSync(join(SITE, file)));
      const kept = files.filter((file) => !ON_DEMAND.includes(file.split("/")[0]));
      const source = readFileSync("sw.js", "utf8")
        .replace("__VERSION__", hash.digest("hex").slice(0, 16))
        .replace("/* global caches, fetch, self, URL, __FILES__ */\n", "")
        .replace("__FILES__", JSON.stringify([...kept, "networks/manifest.json"], null, 1));
      writeFileSync(join(SITE, "sw.js"), source);
    },
  };
}

// Relative addresses, so that the built folder works under any path of any web server.
export default defineConfig({
  base: "./",
  publicDir: "build/public",
  build: { outDir: SITE, emptyOutDir: true, target: "es2022", assetsInlineLimit: 0, modulePreload: false },
  worker: { format: "iife" },
  plugins: [serviceWorker()],
});
