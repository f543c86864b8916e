// Prints all that a store holds as JSON, to compare hosts: `node tests/dump.mjs STORE`.
import { openStoreSync } from "../dist/index.js";

const snake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const byKey = ([a], [b]) => (a < b ? -1 : 1);

const store = openStoreSync(process.argv[2], { readOnly: true });
const listed = [...store.sessions(), ...store.sessions({ trashed: true })];
listed.sort((a, b) => Buffer.compare(Buffer.from(a.id), Buffer.from(b.id)));

const sessions = listed.map((session) =>
  Object.fromEntries(Object.entries(session).map(([name, value]) => [snake(name), value]).sort(byKey)),
);
const messages = listed.map(({ id }) => {
  const pages = [];
  for (let select = { from: 1, limit: 1000 }; select !== undefined; ) {
    const page = store.readJson(id, select);
    if (page.messages !== "[]") pages.push(page.messages.slice(1, -1));
    select = page.next === null ? undefined : { cursor: page.next, limit: 1000 };
  }
  return [id, `[${pages.join(",")}]`];
});
console.log(JSON.stringify({ sessions, messages: Object.fromEntries(messages) }));
