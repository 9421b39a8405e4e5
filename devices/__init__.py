"""What a device is and says: vocabulary, profiles, codecs, registry; imports nothing else of ours."""
