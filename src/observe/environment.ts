export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The environment for what graphs use by themselves: the model, the filing folder, the documents folder. The server
 * reads its own settings in config.ts; a graph is a guest that no one hands anything to.
 */
// biome-ignore lint/style/noProcessEnv: the one place outside main.ts; read late, for main.ts may have set a stand-in
export const graphEnvironment = (): Environment => process.env;
