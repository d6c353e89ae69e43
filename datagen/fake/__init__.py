"""The server that ships for tests and for trying things without a key: `python -m datagen.fake_server`."""
