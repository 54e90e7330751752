// A function in JavaScript: greets, counts its visits, and logs them.

import { get } from "wasi:config/store@0.2.0-rc.1";
import { log } from "wasi:logging/logging@0.1.0-draft";
import { open } from "wasi:keyvalue/store@0.2.0-draft2";
import { increment } from "wasi:keyvalue/atomics@0.2.0-draft2";

addEventListener("fetch", (event) => event.respondWith(handle(event.request)));

async function handle(request) {
  const greeting = get("greeting") ?? "Hello";
  const visit = increment(open("default"), "hello-js.visits", 1n);
  log("info", "hello-js", `visit ${visit}, to ${new URL(request.url).pathname}`);
  return new Response(`${greeting} from JavaScript! You are visitor ${visit}.\n`);
}
