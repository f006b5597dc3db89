// Plays one visit in headless Chromium. Told on stdin as JSON, the outcome goes to stdout as JSON:
//   { url, steps: [{ click | fill: [selector, text] | press | opens: selector | goto | heading }], shots?, scheme? }
// `heading` waits until the page's h1 says so. A console message of level error or warning, a page error or a failed
// request is an outcome, too: a page that works for people has none.
import { createRequire } from 'node:module';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const { chromium } = createRequire(join(process.env.POLLUX_BROWSER, 'package.json'))('playwright-core');
const visit = JSON.parse(readFileSync(0, 'utf8'));
const profile = mkdtempSync(join(tmpdir(), 'pollux-chromium-'));
const limit = 30_000;
const outcome = { complaints: [], pages: [] };

const context = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.POLLUX_CHROMIUM ?? '/usr/bin/chromium',
  headless: true,
  colorScheme: visit.scheme ?? 'light',
  extraHTTPHeaders: visit.headers,
  viewport: visit.viewport ?? { width: 900, height: 700 },
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--no-proxy-server',
    // Where a test plays a remote host, its name leads here.
    ...(visit.resolve ? [`--host-resolver-rules=${visit.resolve}`] : []),
  ],
});

function listen(page) {
  page.on('console', (message) => {
    // A status of 4xx on the page itself is what some visits are about.
    const expected = message.text().startsWith('Failed to load resource') && visit.refused;
    if (['error', 'warning'].includes(message.type()) && !expected) {
      outcome.complaints.push(`console: ${message.text()} ${message.location().url}`);
    }
  });
  page.on('pageerror', (error) => outcome.complaints.push(`page: ${error}`));
  page.on('requestfailed', (request) => {
    const reason = request.failure()?.errorText;
    // A page that reloads itself gives up what it was doing.
    if (reason !== 'net::ERR_ABORTED' && !visit.unreachable) {
      outcome.complaints.push(`request: ${request.url()} ${reason}`);
    }
  });
}

let shot = 0;
async function show(page) {
  const heading = await page.locator('h1').first().innerText({ timeout: limit }).catch(() => '');
  outcome.pages.push(heading);
  if (visit.shots) await page.screenshot({ path: join(visit.shots, `${visit.name}-${shot++}.png`) });
}

try {
  let page = context.pages()[0] ?? await context.newPage();
  listen(page);
  await page.goto(visit.url, { timeout: limit });
  await show(page);
  for (const step of visit.steps) {
    if (step.fill) await page.fill(step.fill[0], step.fill[1], { timeout: limit });
    if (step.fillWithAddress) await page.fill(step.fillWithAddress, outcome.address ?? '', { timeout: limit });
    if (step.press) await page.keyboard.press(step.press);
    if (step.click) await page.click(step.click, { timeout: limit });
    if (step.goto) await page.goto(step.goto, { timeout: limit });
    if (step.opens) {
      const [opened] = await Promise.all([context.waitForEvent('page'), page.click(step.opens)]);
      listen(opened);
      await opened.waitForLoadState();
      if (step.then) {
        await opened.click(step.then, { timeout: limit });
        // The address it ends at leads nowhere from here; it is what a person would copy.
        const landed = (url) => url.href.startsWith('http://localhost:');
        await opened.waitForURL(landed, { timeout: limit, waitUntil: 'commit' }).catch(() => {});
        outcome.address = opened.url();
        await opened.close();
      }
      await page.bringToFront();
    }
    if (step.heading) {
      await page.locator('h1', { hasText: step.heading }).waitFor({ timeout: limit });
    }
    if (step.heading || step.shot) await show(page);
  }
  outcome.url = page.url();
  outcome.text = await page.locator('body').innerText();
  outcome.cookies = await context.cookies();
} catch (error) {
  outcome.failure = String(error);
  const page = context.pages().at(-1);
  outcome.url = page?.url();
  outcome.text = await page?.locator('body').innerText({ timeout: 1000 }).catch(() => '');
} finally {
  await context.close();
  rmSync(profile, { recursive: true, force: true });
}
process.stdout.write(JSON.stringify(outcome));
