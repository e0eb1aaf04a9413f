"""OCI image layouts, as directories and as archives (image-spec image-layout). Knows no registries."""
