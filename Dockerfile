# prepare runs the build, which needs the development packages: hence two stages.
FROM node:22-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
# Without the built-in Postgres: here DATABASE_URL names one.
RUN npm ci --omit=optional --ignore-scripts
COPY . .
RUN npm run build && npm prune --omit=dev --omit=optional --ignore-scripts

FROM node:22-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
USER node
EXPOSE 8123
CMD ["node", "dist/src/main.js", "serve"]
