FROM node:22
ONBUILD COPY . /app
ONBUILD RUN npm ci
CMD ["node", "server.js"]
