// Makes a component of a core module that carries its component type: component.mjs MODULE COMPONENT
// Shows the interface of a component: component.mjs --wit COMPONENT

import { readFileSync, writeFileSync } from 'node:fs';
import { componentNew, componentWit } from '@bytecodealliance/jco-transpile/wasm-tools';

const [from, to] = process.argv.slice(2);
if (from === '--wit') {
  console.log(await componentWit(readFileSync(to)));
} else {
  writeFileSync(to, await componentNew(readFileSync(from), []));
}
