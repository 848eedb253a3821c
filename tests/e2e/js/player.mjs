// node player.mjs CHROMIUM PAGE PROFILE_DIRECTORY SEEK_TO
// Opens the player page in headless Chromium, plays, seeks forward and back; prints one JSON object.
import { chromium } from "playwright-core";

const [, , executablePath, page_url, profile, seekTo] = process.argv;

const context = await chromium.launchPersistentContext(profile, {
  executablePath,
  headless: true,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
  ],
});
const messages = [];
try {
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  page.on("console", (message) => messages.push(message.text()));
  page.on("pageerror", (error) => messages.push(String(error)));
  await page.goto(page_url);
  await page.waitForFunction(() => window.seek !== undefined);
  const call = (name, argument) => page.evaluate(([name, argument]) => window[name](argument), [name, argument]);
  const result = {
    opened: await call("open_video"),
    played: await call("play_to", 1),
    forward: await call("seek", Number(seekTo)),
    playedOn: await call("play_to", Number(seekTo) + 0.5),
    back: await call("seek", 0.5),
  };
  console.log(JSON.stringify(result));
} catch (error) {
  console.error(error, messages);
  process.exitCode = 1;
} finally {
  await context.close();
}
