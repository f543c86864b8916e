// Prints what pi's own session manager reads in a file: `node pi.mjs FILE` gives `{id, cwd, name, messages}`, each message
// as `{role, texts, calls, results}`. The package wants a newer Node than we do, but this module of it does not.

const place = new URL("node_modules/@earendil-works/pi-coding-agent/dist/core/session-manager.js", import.meta.url);
const { SessionManager } = await import(place.href);

const manager = SessionManager.open(process.argv[2]);
const blocks = (content) => (typeof content === "string" ? [{ type: "text", text: content }] : content);
const texts = (content) =>
  blocks(content).flatMap((block) => (block.type === "text" ? [block.text] : []));

// The way from the root to the leaf: what pi shows.
const messages = manager
  .getBranch()
  .filter((entry) => entry.type === "message")
  .map(({ message }) => ({
    role: message.role,
    texts: message.role === "toolResult" ? [] : texts(message.content),
    calls: blocks(message.content).flatMap((block) => (block.type === "toolCall" ? [block.name] : [])),
    results: message.role === "toolResult" ? [texts(message.content).join("\n")] : [],
  }));
const header = manager.getHeader();
process.stdout.write(
  JSON.stringify({
    id: header.id,
    cwd: header.cwd,
    name: manager.getSessionName() ?? null,
    // What a model would be sent.
    context: manager.buildSessionContext().messages.length,
    messages,
  }),
);
