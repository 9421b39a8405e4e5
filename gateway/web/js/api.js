/** Questions to the gateway's API, with the token a person was asked for where one is needed. */

const TOKEN = "board.token";
const SENDABLE = /^[\x21-\x7e]+$/;

let askToken = async () => null;

/** Who asks the person for a token: a function giving the new one once it was entered. */
export function whenTokenIsNeeded(ask) {
  askToken = ask;
}

export function token() {
  return sessionStorage.getItem(TOKEN);
}

/** An answer that is no answer: `status` is 0 if nobody answered at all. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

function address(path, query) {
  const url = new URL(path, location.origin);
  for (const [name, value] of Object.entries(query)) if (value !== null && value !== undefined) url.searchParams.set(name, value);
  return url;
}

async function ask(url, how = {}) {
  const known = token();
  // Typed with a Vietnamese keyboard, perhaps: no header can carry it, so no server can accept it.
  if (known !== null && !SENDABLE.test(known)) return new Response(null, { status: 401 });
  try {
    return await fetch(url, { ...how, headers: { ...how.headers, ...(known ? { Authorization: `Bearer ${known}` } : {}) } });
  } catch {
    throw new ApiError(0, "no answer");
  }
}

/** The JSON behind a path. A 401 asks the person for the token and tries again. */
export async function get(path, query = {}) {
  const url = address(path, query);
  let answer = await ask(url);
  while (answer.status === 401) {
    sessionStorage.setItem(TOKEN, await askToken(token() !== null));
    answer = await ask(url);
  }
  const body = await answer.json().catch(() => null);
  // /health answers 503 with the very body that says what is wrong.
  if (body === null || (!answer.ok && body.error)) throw new ApiError(answer.status, body?.error?.message ?? answer.statusText);
  return body;
}

/** Ask for something to be done. */
export async function post(path, body) {
  const how = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const answer = await ask(address(path, {}), how);
  if (!answer.ok) throw new ApiError(answer.status, answer.statusText);
}

/** Every item of a list that comes in pages. */
export async function getAll(path, query = {}, most = 5000) {
  const items = [];
  for (;;) {
    const page = await get(path, { ...query, limit: 1000, offset: items.length });
    items.push(...page.items);
    if (page.items.length === 0 || items.length >= page.total || items.length >= most) return items;
  }
}

/** EventSource cannot send a header, so the token rides in the address. */
export function liveAddress(commune) {
  return address("/live", { commune, token: token() });
}
