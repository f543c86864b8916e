/** Names of members: `toolCall` here is `tool_call` in requests and answers of operations. */

export const camelCase = (name: string): string => name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
export const snakeCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** Members, as answers name them, that hold callers' own JSON or callers' own names: nothing in them is renamed. */
export const KEPT: ReadonlySet<string> = new Set([
  "add",
  "address",
  "answer",
  "arguments",
  "content",
  "counters",
  "data",
  "default",
  "destinations",
  "event",
  "events",
  "message",
  "messages",
  "metadata",
  "options",
  "policy_note",
  "snapshot",
  "value",
  "values",
]);
