// The texts of a script in the reader's language: what `say` and `mark` are given is collected from here, and Python sends
// the translations. Without one the text itself is shown.

let WORDS = {};
const takeWords = (data) => { WORDS = data.words ?? {}; };
const mark = (text) => text;
const say = (text, values = {}) => (WORDS[text] ?? text).replace(/\{(\w+)\}/g, (place, name) => values[name] ?? place);
