/* global caches, fetch, self, URL, __FILES__ */
// Answers from what was kept, so that the page works without a connection. The build puts in what the version holds.
const FILES = __FILES__;

const folder = new URL("./", self.location.href).href;
const PREFIX = `kerasfer ${folder} `;
const VERSION = `${PREFIX}__VERSION__`;

/** The address without query and fragment, if it lies in the page's folder. */
function ours(address) {
  const url = new URL(address);
  url.search = url.hash = "";
  return url.href.startsWith(folder) ? url.href : null;
}

async function keep(addresses) {
  const cache = await caches.open(VERSION);
  for (const address of addresses) {
    if (await cache.match(address)) continue;
    const response = await fetch(address, { cache: "no-cache" });
    if (!response.ok) throw new Error(`${address}: ${response.status}`);
    await cache.put(address, response);
  }
}

self.addEventListener("install", (event) => {
  event.waitUntil(keep(FILES.map((file) => folder + file)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  const old = (names) => names.filter((name) => name.startsWith(PREFIX) && name !== VERSION);
  event.waitUntil(
    caches
      .keys()
      .then((names) => Promise.all(old(names).map((name) => caches.delete(name))))
      .then(() => self.clients.claim()),
  );
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const address = request.method === "GET" && !request.headers.has("range") ? ours(request.url) : null;
  if (address === null) return;
  event.respondWith(answer(request, address));
});

async function answer(request, address) {
  const cache = await caches.open(VERSION);
  const known = await cache.match(address === folder ? `${folder}index.html` : address);
  if (known) return known;
  const response = await fetch(request);
  if (response.ok && response.status === 200) await cache.put(address, response.clone());
  return response;
}

// What the page had loaded before this worker was there.
self.addEventListener("message", (event) => {
  const known = event.data.map(ours).filter((address) => address !== null && !address.endsWith("/sw.js"));
  event.waitUntil(
    keep(known.map((address) => (address === folder ? `${folder}index.html` : address))).then(
      () => event.ports[0].postMessage(true),
      () => event.ports[0].postMessage(false),
    ),
  );
});
