package homeserver

// Provider is a storage provider: where Synapse keeps a second copy of media.
type Provider struct {
	Module string
	// Local and Remote say which media it gets.
	Local, Remote bool
	// Directory is that of a provider that is a file system.
	Directory string
	// S3 is set for s3_storage_provider.
	S3 *S3
}

// S3 is the configuration of s3_storage_provider.S3StorageProviderBackend.
type S3 struct {
	Bucket, Region, Endpoint, Prefix string
	// AccessKeyID and SecretAccessKey are secrets; empty where the environment has them.
	AccessKeyID, SecretAccessKey, SessionToken string
	StorageClass                               string
}

func providers(all section) (list []Provider) {
	if directory := all.text("backup_media_store_path"); directory != "" {
		return []Provider{{Module: "file_system", Local: true, Remote: true, Directory: directory}}
	}
	for _, s := range all.sections("media_storage_providers") {
		p := Provider{Module: s.text("module"), Local: s.truth("store_local", false), Remote: s.truth("store_remote", false)}
		args := s.section("config")
		switch p.Module {
		case "file_system", "synapse.rest.media.v1.storage_provider", "synapse.media.storage_provider.FileStorageProviderBackend":
			p.Module, p.Directory = "file_system", args.text("directory")
		case "s3_storage_provider.S3StorageProviderBackend":
			p.S3 = &S3{
				Bucket: args.text("bucket"), Region: args.text("region_name"), Endpoint: args.text("endpoint_url"), Prefix: args.text("prefix"),
				AccessKeyID: args.text("access_key_id"), SecretAccessKey: args.text("secret_access_key"), SessionToken: args.text("session_token"),
				StorageClass: args.text("storage_class"),
			}
		}
		list = append(list, p)
	}
	return list
}
