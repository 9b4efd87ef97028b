"""Download candles and funding into files, resumable part by part."""
