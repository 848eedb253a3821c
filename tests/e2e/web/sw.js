// Adds the access token to media requests, as web clients do.
let token = null;

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("message", (event) => {
  token = event.data;
  event.ports[0].postMessage("ready");
});
self.addEventListener("fetch", (event) => {
  const { pathname, origin } = new URL(event.request.url);
  if (token === null || origin !== self.location.origin || !pathname.startsWith("/_matrix/client/v1/media/")) return;
  const headers = new Headers(event.request.headers); // with the Range of the media element
  headers.set("Authorization", `Bearer ${token}`);
  event.respondWith(fetch(event.request.url, { headers, mode: "same-origin", signal: event.request.signal }));
});
