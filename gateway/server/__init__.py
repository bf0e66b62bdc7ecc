"""The face to clients: wire -> `Call`, `Answer` -> wire, in both eras. It decides nothing."""
