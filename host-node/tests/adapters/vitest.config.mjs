// For the suite of LangGraph alone: it takes `describe`, `it` and `expect` from the global scope.
export default {
  root: import.meta.dirname,
  test: { globals: true, include: ["*.suite.mjs"], reporters: ["json"], cache: false, watch: false },
};
