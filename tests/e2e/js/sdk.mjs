// node sdk.mjs BASE USER PASSWORD PICTURE
// One journey with matrix-js-sdk; prints what happened as one JSON object.
import crypto from "node:crypto";
import fs from "node:fs";
import { createClient } from "matrix-js-sdk";
import { logger } from "matrix-js-sdk/lib/logger.js";

logger.setLevel("silent"); // it writes to stdout, which is ours

const [, , baseUrl, user, password, picture] = process.argv;

const sha256 = (bytes) => crypto.createHash("sha256").update(bytes).digest("hex");

async function fetched(url, token) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const response = await fetch(url, { headers });
  const body = Buffer.from(await response.arrayBuffer());
  return {
    status: response.status,
    path: new URL(url).pathname,
    type: response.headers.get("content-type"),
    disposition: response.headers.get("content-disposition"),
    sha256: sha256(body),
    base64: body.length < 200_000 ? body.toString("base64") : null,
  };
}

const login = await createClient({ baseUrl }).loginRequest({
  type: "m.login.password",
  identifier: { type: "m.id.user", user },
  password,
});
const client = createClient({
  baseUrl,
  userId: login.user_id,
  accessToken: login.access_token,
  deviceId: login.device_id,
});

const bytes = fs.readFileSync(picture);
const uploaded = await client.uploadContent(bytes, { type: "image/jpeg", name: "photo.jpg" });
const mxc = uploaded.content_uri;
const url = (...size) => client.mxcUrlToHttp(mxc, ...size, false, true, true);
const download = url(undefined, undefined, undefined);

const result = {
  mxc,
  supportsAuthenticatedMedia: await client.isVersionSupported("v1.11"),
  config: await client.getMediaConfig(true),
  download: await fetched(download, login.access_token),
  thumbnail: await fetched(url(320, 240, "scale"), login.access_token),
  withoutToken: await fetched(download, null),
  legacyWithoutToken: await fetched(client.mxcUrlToHttp(mxc), null),
};
await client.logout(true);
result.afterLogout = await fetched(download, login.access_token);
console.log(JSON.stringify(result));
