// What this process knows of the tools it has: a compensation, days later, finds its function here by name.
import { type EffectDeclaration, effectClasses } from "../domain/effect.ts";
import { Fatal } from "../domain/errors.ts";

const namesMax = 10_000;
const sameNameMax = 16;
const nameCharsMax = 200;

interface Known {
  declaration: EffectDeclaration;
  /** Written at the call: its functions are new ones each time, so the latest stands for all. */
  inline: boolean;
}
const known = new Map<string, Known[]>();

/** Remembers a declaration of this process. Throws Fatal `invalid_effect` when it lacks what its class needs. */
export function declareEffect(declaration: EffectDeclaration): void {
  checkDeclaration(declaration);
  remember({ declaration, inline: false });
}

/** The same for one written at its call, in place of the one that the previous call wrote. The ledger checks it. */
export const declareInline = (declaration: EffectDeclaration): void =>
  remember({ declaration, inline: true });

function remember(one: Known): void {
  const { name } = one.declaration;
  const others = (known.get(name) ?? []).filter(
    (other) => other.declaration !== one.declaration && !(one.inline && other.inline),
  );
  known.delete(name);
  known.set(name, [...others, one].slice(-sameNameMax));
  const [oldest] = known.keys();
  if (known.size > namesMax && oldest !== undefined) known.delete(oldest);
}

/** The preferred declaration of this name, else the only one that is remembered. */
export function declarationOf(
  name: string,
  preferred: readonly EffectDeclaration[] = [],
): EffectDeclaration | undefined {
  const first = preferred.find((declaration) => declaration.name === name);
  if (first !== undefined) return first;
  const remembered = known.get(name) ?? [];
  return remembered.length === 1 ? remembered[0]?.declaration : undefined;
}

/** Says early, and by name, what is missing. */
export function checkDeclaration(declaration: EffectDeclaration): void {
  const { name, class: kind, lookup, compensate, keyLifetimeSeconds } = declaration;
  const refuse = (reason: string): never => {
    throw new Fatal(`effect ${JSON.stringify(name)}: ${reason}`, { code: "invalid_effect" });
  };
  if (typeof name !== "string" || name.trim() === "" || name.includes("\u0000"))
    refuse("a name is needed, it stands in the key");
  if (name.length > nameCharsMax) refuse(`a name has at most ${nameCharsMax} characters`);
  if (kind !== undefined && !effectClasses.includes(kind))
    refuse(`class is one of ${effectClasses.join(", ")}, not ${JSON.stringify(kind)}`);
  if (kind === "queryable" && lookup === undefined) refuse("class queryable needs a lookup");
  if (kind === "compensatable" && compensate === undefined) refuse("class compensatable needs a compensate");
  if (keyLifetimeSeconds !== undefined && !(keyLifetimeSeconds > 0))
    refuse("keyLifetimeSeconds is a number above 0");
}
