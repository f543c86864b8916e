/** What this package needs of WebAssembly, which Node's types leave to those of browsers. */
declare namespace WebAssembly {
  class Module {
    constructor(bytes: Uint8Array);
  }
}
