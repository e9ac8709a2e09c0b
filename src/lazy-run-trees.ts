import type { AsyncLocalStorageProviderSingleton } from "@langchain/core/singletons";
import { isRunTree, RunTree } from "langsmith/run_trees";

/** Where LangChain keeps the config of what runs now. */
const childConfig = Symbol.for("lc:child_config");
/** And the variables that its callers have set. */
const contextVariables = Symbol.for("lc:context_variables");

export type Provider = Pick<typeof AsyncLocalStorageProviderSingleton, "runWithConfig" | "getInstance">;

/**
 * LangChain makes a LangSmith run tree for every node and every edge, also where nothing is traced, and most often nobody
 * looks at it (docs/decisions/0037). From now on such a tree is made when somebody does.
 */
export function makeRunTreesLazily(provider: Provider): void {
  const runWithConfig = provider.runWithConfig.bind(provider);
  provider.runWithConfig = (config, callback, avoidCreatingRootRunTree) => {
    if (avoidCreatingRootRunTree) return runWithConfig(config, callback, avoidCreatingRootRunTree);
    const withTree = (): ReturnType<typeof callback> => {
      const storage = provider.getInstance();
      const store: unknown = storage.getStore();
      // Of a tracer.
      if (isRunTree(store)) return callback();
      return storage.run(lazyTree(config, store), callback);
    };
    return runWithConfig(config, withTree, true);
  };
}

type Tree = Record<PropertyKey, unknown>;

/** What LangChain reads of every tree. */
const light: ReadonlySet<PropertyKey> = new Set(["extra", "tracingEnabled", contextVariables]);

function lazyTree(config: unknown, store: unknown): RunTree {
  const tree: Tree = Object.create(RunTree.prototype);
  tree.tracingEnabled = false;
  tree.extra = { [childConfig]: config };
  if (typeof store === "object" && store !== null && contextVariables in store)
    tree[contextVariables] = (store as Tree)[contextVariables];
  return new Proxy(tree, new Unmade()) as unknown as RunTree;
}

/** Makes the rest of one tree before anything else of it is touched. */
class Unmade implements ProxyHandler<Tree> {
  #made = false;

  get(tree: Tree, key: PropertyKey, receiver: unknown): unknown {
    return Reflect.get(this.#with(key, tree), key, receiver);
  }

  has(tree: Tree, key: PropertyKey): boolean {
    return Reflect.has(this.#with(key, tree), key);
  }

  ownKeys(tree: Tree): (string | symbol)[] {
    return Reflect.ownKeys(this.#whole(tree));
  }

  // Also before a property is set.
  getOwnPropertyDescriptor(tree: Tree, key: PropertyKey): PropertyDescriptor | undefined {
    return Reflect.getOwnPropertyDescriptor(this.#whole(tree), key);
  }

  deleteProperty(tree: Tree, key: PropertyKey): boolean {
    return Reflect.deleteProperty(this.#whole(tree), key);
  }

  #with(key: PropertyKey, tree: Tree): Tree {
    return light.has(key) ? tree : this.#whole(tree);
  }

  #whole(tree: Tree): Tree {
    if (this.#made) return tree;
    this.#made = true;
    const whole = new RunTree({ name: "<runnable_lambda>", tracingEnabled: false });
    return Object.assign(tree, whole, { extra: { ...whole.extra, ...(tree.extra as object) } });
  }
}
