import { defineConfig } from "vite";

// Relative addresses, so that the built folder works under any path of any web server.
export default defineConfig({
  base: "./",
  publicDir: "build/public",
  build: { outDir: "build/site", emptyOutDir: true, target: "es2022", assetsInlineLimit: 0, modulePreload: false },
  worker: { format: "iife" },
});
