// Correct: WebAssembly that reads out of its memory's bounds, divides by zero and recurses without end, and goes on.
'use strict';
const i32 = 0x7f, end = 0x0b, one = [1];
const section = (id, bytes) => [id, bytes.length, ...bytes];
const body = code => [code.length + 2, 0, ...code, end];
const text = name => [name.length, ...Buffer.from(name)];
const functions = [
    [0x20, 0, 0x28, 2, 0],              // i32.load
    [0x20, 0, 0x41, 0, 0x20, 0, 0x6b, 0x41, 0, 0x6c, 0x6d], // i32.div_s by 0
    [0x20, 0, 0x41, 1, 0x6a, 0x10, 2, 0x41, 1, 0x6a],       // calls itself
];
const module = new Uint8Array([
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(1, [1, 0x60, 1, i32, 1, i32]),
    ...section(3, [3, 0, 0, 0]),
    ...section(5, [1, 0, 1]),
    ...section(7, [3, ...text('load'), 0, 0, ...text('divide'), 0, 1, ...text('recurse'), 0, 2]),
    ...section(10, [3, ...functions.flatMap(body)]),
]);
const { load, divide, recurse } = new WebAssembly.Instance(new WebAssembly.Module(module)).exports;
const counts = {};
const attempt = call => {
    try { call(); counts.fine = (counts.fine || 0) + 1; } catch (error) {
        const what = `${error.constructor.name}: ${error.message}`;
        counts[what] = (counts[what] || 0) + 1;
    }
};
for (let turn = 0; turn < 2000; turn++) {
    attempt(() => load(turn));
    attempt(() => load(65536 + 4 * turn));
    attempt(() => divide(turn));
}
for (let turn = 0; turn < 3; turn++) attempt(() => recurse(0));
console.log(counts);
